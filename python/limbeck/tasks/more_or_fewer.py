"""More or fewer: what happens in the arithmetic stories, event by event?

The words of all domains and none of their sums: text from which a base model can learn what a
domain speaks of before another domain teaches it to count.
"""

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from limbeck.tasks.base import Chain, Task, check_range
from limbeck.tasks.surface import STORIES

__all__ = ["MoreOrFewer"]

_MORE, _FEWER = "more", "fewer"
_GAINS = frozenset(verb for surface in STORIES for verb in surface.gains)
_LOSSES = frozenset(verb for surface in STORIES for verb in surface.losses)
_VERB = "|".join(sorted(_GAINS | _LOSSES))
_EVENT = re.compile(rf"(?:(\d+) )?\b({_VERB})\b(?: (\d+))?")
_CLOSING = ". More or fewer each time?"


def _colon(_before: str, event: str, after: str) -> str:
    return f"{event}: {after}"


def _means(_before: str, event: str, after: str) -> str:
    return f"{event} means {after.rpartition(', ')[2]}, so {after}"


def _arrow(_before: str, event: str, after: str) -> str:
    return f"{event} -> {after}"


@dataclass(frozen=True)
class MoreOrFewer(Task[str, str]):
    """How many more or fewer each event of a story leaves. The state is what was said so far.

    Args:
        events: How many a question has, 2 to 20.
    """

    name: ClassVar[str] = "more_or_fewer"
    phrasings = (_colon, _means, _arrow)
    events: int = 2

    def __post_init__(self) -> None:
        check_range(self, events=(2, 20))

    def ask(self, rng: random.Random) -> str:
        """Write a random question."""
        surface = rng.choice(STORIES)
        who, what = rng.choice(surface.who), rng.choice(surface.what)
        text = surface.opening.format(who=who, what=what, number="some")
        for _ in range(self.events):
            verb = rng.choice(surface.gains + surface.losses)
            text += surface.change.format(verb=verb, number=rng.randint(1, 5))
        return text + _CLOSING

    def read(self, question: str) -> Chain[str, str]:
        """Read the events, each the verb and its number, in the order of the text."""
        events = [found.group() for found in _EVENT.finditer(question)]
        if not question.endswith(_CLOSING) or not events:
            raise ValueError(f"not a question of {self.name}: {question!r}")
        return Chain("", events)

    def apply(self, state: str, operation: str) -> str:
        """Append what the event does."""
        return self._said(state, operation, is_gain=bool(_GAINS & {*operation.split()}))

    def mistake(self, state: str, operation: str, rng: random.Random) -> str:  # noqa: ARG002
        """Append the contrary."""
        return self._said(state, operation, is_gain=not _GAINS & {*operation.split()})

    def _said(self, state: str, operation: str, *, is_gain: bool) -> str:
        [number] = re.findall(r"\d+", operation)
        return f"{state}, {number} {_MORE if is_gain else _FEWER}".removeprefix(", ")

    def fact(self, state: str, operation: str) -> str:  # noqa: ARG002 (the same after any words)
        """Say the event."""
        return operation

    def conclude(self, state: str) -> str:
        """Say all of it."""
        return state
