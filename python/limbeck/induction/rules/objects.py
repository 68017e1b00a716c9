"""Rules of ACRE: for each object whether it switches the light on.

The light is on where an object that switches it on is present; else undetermined where one is that
is not known; else off. An object of which the rule says nothing is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from limbeck.induction.rules.base import RuleError

__all__ = ["STATES", "ObjectMap", "parse_objects"]

STATES = ("on", "off", "undetermined")

_MOST = 10_000  # characters: a hundred times what a rule takes
_BRACES = re.compile(r"\{([^{}]*)\}")
_STATE = r"(?P<state>on|off|undetermined)"
# An entry of a dictionary, with the comma behind it.
_ENTRY = re.compile(
    rf"""\s*(?P<quote>["'])(?P<names>[^"'{{}}]+)(?P=quote)\s*:\s*["']?{_STATE}["']?\s*(?:,|$)""",
    re.I,
)
# An entry in words: `the red cube: on`, `red cube -> off`, `red cube is undetermined`.
_LINE = re.compile(
    r"""[-*]? ?(?:the )?["']?(?P<names>[\w ,]+?)["']? ?(?::|->|→|=|\bis\b) ?"""
    rf"""["']?{_STATE}["']? ?\.?""",
    re.I,
)


@dataclass(frozen=True)
class ObjectMap:
    """The state that each object gives the light."""

    states: dict[str, str]

    def apply(self, given: str) -> str:
        """Say the state of the light for objects, separated by commas."""
        found = {self.states.get(name.strip(), "undetermined") for name in given.split(",")}
        return next(state for state in ("on", "undetermined", "off") if state in found)


def parse_objects(text: str) -> ObjectMap:
    """Read an object map: a dictionary as JSON or Python write it, or one entry a line.

    Args:
        text: What a teacher wrote; of several dictionaries the last counts. A key may name several
            objects, separated by commas.

    Raises:
        RuleError: There is none, an entry is none, or an object has two states.

    Example:
        >>> parse_objects('Rule: {"red cube": "on", "gray ball": "off"}').apply("gray ball")
        'off'
    """
    if len(text) > _MOST:
        raise RuleError(f"longer than {_MOST} characters")
    dictionaries = _BRACES.findall(text)
    entries = _entries(dictionaries[-1]) if dictionaries else _lines(text)
    states: dict[str, str] = {}
    for names, state in entries:
        for name in filter(None, map(str.strip, names.split(","))):
            if states.setdefault(name, state) != state:
                raise RuleError(f"{name!r} is both {states[name]} and {state}")
    if not states:
        raise RuleError("names no object")
    return ObjectMap(states)


def _entries(body: str) -> Iterator[tuple[str, str]]:
    at = 0
    while body[at:].strip():
        found = _ENTRY.match(body, at)
        if found is None:
            raise RuleError(f"no entry of an object map: {body[at:].strip()[:40]!r}")
        yield found["names"], found["state"].lower()
        at = found.end()


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in re.split(r"[\n;]", re.sub(r"^\s*rule\s*:", "", text, flags=re.I)):
        # One space each, else the pattern tries every way to share out a long run of them.
        words = " ".join(line.split())
        if not words:
            continue
        found = _LINE.fullmatch(words)
        if found is None:
            raise RuleError(f"no entry of an object map: {words[:40]!r}")
        yield found["names"], found["state"].lower()
