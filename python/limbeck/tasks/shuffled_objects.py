"""Shuffled objects: people hold balls and swap them; who has a certain one in the end?

After BIG-bench, `tracking_shuffled_objects` (Srivastava et al., arXiv 2206.04615). The people are
always the first of one list, so that guessing among them is the chance level.
"""

import random
import re
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from limbeck.tasks.base import Chain, Task, check_range
from limbeck.tasks.words import COLOURS

__all__ = ["Held", "ShuffledObjects"]

_PEOPLE = ("Alice", "Bob", "Claire", "David", "Emma", "Fred")
_FORM = re.compile(
    r"At first: (\w+ \w+(?:, \w+ \w+)*)\. ((?:Swap \d+: \w+ and \w+\. )+)Who has (\w+)\?",
)
_SWAP = re.compile(r"Swap (\d+): (\w+) and (\w+)\.")


class Held(NamedTuple):
    """The one ball that is followed, and who has it."""

    ball: str
    who: str


class Swap(NamedTuple):
    """Two people exchange what they hold."""

    number: int
    one: str
    other: str


def _moved(before: Held, swap: Swap, after: Held) -> str:
    return f"{_pair(swap)}, {before.who} {_moving(before, after)}."


def _so_moved(before: Held, swap: Swap, after: Held) -> str:
    return f"{_pair(swap)}, so {before.who} {_moving(before, after)}."


def _having(_before: Held, swap: Swap, after: Held) -> str:
    return f"{_pair(swap)}, {after.who} has {after.ball}."


def _pair(swap: Swap) -> str:
    return f"Swap {swap.number}: {swap.one} and {swap.other}"


def _moving(before: Held, after: Held) -> str:
    return "stays" if before.who == after.who else f"to {after.who}"


@dataclass(frozen=True)
class ShuffledObjects(Task[Held, Swap]):
    """The place of one ball after some swaps.

    Args:
        people: Who hold one ball each, 3 to 6.
        swaps: How many swaps, 2 to 20.
    """

    name: ClassVar[str] = "shuffled_objects"
    phrasings = (_moved, _so_moved, _having)
    people: int = 3
    swaps: int = 3

    def __post_init__(self) -> None:
        check_range(self, people=(3, len(_PEOPLE)), swaps=(2, 20))

    def ask(self, rng: random.Random) -> str:
        """Write a random question."""
        people = _PEOPLE[: self.people]
        balls = rng.sample(COLOURS, self.people)
        held = ", ".join(f"{ball} {who}" for ball, who in zip(balls, people, strict=True))
        sentences = [f"At first: {held}."]
        for number in range(1, self.swaps + 1):
            one, other = sorted(rng.sample(people, 2))
            sentences.append(f"Swap {number}: {one} and {other}.")
        return " ".join([*sentences, f"Who has {rng.choice(balls)}?"])

    def read(self, question: str) -> Chain[Held, Swap]:
        """Read who has the ball at first, and the swaps."""
        found = _FORM.fullmatch(question)
        if found is None:
            raise ValueError(f"not a question of {self.name}: {question!r}")
        holders = dict(pair.split(" ") for pair in found[1].split(", "))
        swaps = [Swap(int(number), one, other) for number, one, other in _SWAP.findall(found[2])]
        return Chain(Held(found[3], holders[found[3]]), swaps)

    def opening(self, start: Held) -> str:
        """Say who has the ball at first."""
        return f"At first: {start.ball} {start.who}."

    def apply(self, state: Held, operation: Swap) -> Held:
        """Pass the ball on if its holder swaps."""
        _, one, other = operation
        who = {one: other, other: one}.get(state.who, state.who)
        return state._replace(who=who)

    def mistake(self, state: Held, operation: Swap, rng: random.Random) -> Held:
        """Give the ball to someone else."""
        right = self.apply(state, operation).who
        others = {state.who, operation.one, operation.other} - {right}
        return state._replace(who=rng.choice(sorted(others)))

    def fact(self, state: Held, operation: Swap) -> tuple[str, str, str]:
        """Say who has the ball and who swap, whatever ball it is and however many came before."""
        return state.who, operation.one, operation.other

    def conclude(self, state: Held) -> str:
        """Say who has the ball."""
        return state.who
