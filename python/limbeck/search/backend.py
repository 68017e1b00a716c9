"""What a search asks of a model, whatever runs it: several texts for each of some prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = ["Backend", "Usage", "Written"]


class Written(NamedTuple):
    """What was written to one prompt.

    Attributes:
        texts: The samples; None for one that was cut off before its end.
        prompt_tokens: Tokens of the prompt, as often as it was computed (or charged for).
        completion_tokens: Tokens of all samples.
    """

    texts: tuple[str | None, ...]
    prompt_tokens: int
    completion_tokens: int


class Backend(Protocol):
    """A model that is asked in batches."""

    def write(
        self, prompts: Sequence[str], *, samples: int, temperature: float
    ) -> Sequence[Written]:
        """Write `samples` texts to each prompt.

        Args:
            prompts: Questions, without what a student's template or a chat has around them.
            samples: Of each prompt.
            temperature: 0 is greedy.

        Raises:
            InputError: A prompt leaves no room to answer, or the model is not to be had.
            UnfinishedError: A server did not answer; the same call goes on.
        """


@dataclass(frozen=True)
class Usage:
    """What a search has taken.

    Attributes:
        rule_calls: Rules that the model wrote.
        apply_calls: Outputs that the model wrote for a rule and an input.
        prompt_tokens: Of both.
        completion_tokens: Of both.
    """

    rule_calls: int = 0
    apply_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def calls(self) -> int:
        """Texts that the model wrote."""
        return self.rule_calls + self.apply_calls

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            self.rule_calls + other.rule_calls,
            self.apply_calls + other.apply_calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )
