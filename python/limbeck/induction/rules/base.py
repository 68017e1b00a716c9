"""What a rule is: something parsed from text that maps an input to an output."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Exhausted", "Rule", "RuleError"]


class RuleError(ValueError):
    """A text that is no rule of its kind; the message says why."""


class Exhausted(Exception):  # noqa: N818 (not an error of the program)
    """A rule asked for more steps or a larger value than a rule may."""


class Rule(Protocol):
    """A rule that can be run."""

    def apply(self, given: str) -> str | None:
        """Return the output for an input, or None where the rule gives none."""
