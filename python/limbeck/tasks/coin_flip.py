"""Coin flip: some people turn a coin over, some do not; is it still heads up?

The task of Wei et al., Chain-of-Thought Prompting (arXiv 2201.11903), in fewer words.
"""

import random
import re
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from limbeck.tasks.base import Chain, Task, check_range
from limbeck.tasks.words import NAMES

__all__ = ["CoinFlip", "Turn"]

_FORM = re.compile(r"A coin is heads up\. ((?:\w+ (?:flips|does not flip) it\. )+)Is it heads up\?")
_TURN = re.compile(r"(\w+) (flips|does not flip) it\.")


class Turn(NamedTuple):
    """What one person does."""

    who: str
    flips: bool


def _side(heads: bool) -> str:
    return "heads" if heads else "tails"


def _deed(_before: bool, turn: Turn, after: bool) -> str:
    return f"{turn.who} {'flips' if turn.flips else 'does not'}: {_side(after)}."


def _change(before: bool, turn: Turn, after: bool) -> str:
    how = f"turns {_side(before)} to" if turn.flips else "leaves it"
    return f"{turn.who} {how} {_side(after)}."


def _result(_before: bool, turn: Turn, after: bool) -> str:
    return f"After {turn.who} it is {_side(after)} up."


@dataclass(frozen=True)
class CoinFlip(Task[bool, Turn]):
    """The parity of a number of flips. The state is whether heads is up.

    Args:
        flips: People who flip the coin or do not, 2 to 20.
    """

    name: ClassVar[str] = "coin_flip"
    phrasings = (_deed, _change, _result)
    flips: int = 4

    def __post_init__(self) -> None:
        check_range(self, flips=(2, 20))

    def ask(self, rng: random.Random) -> str:
        """Write a random question."""
        turns = [
            f"{who} {rng.choice(('flips', 'does not flip'))} it."
            for who in rng.sample(NAMES, self.flips)
        ]
        return " ".join(["A coin is heads up.", *turns, "Is it heads up?"])

    def read(self, question: str) -> Chain[bool, Turn]:
        """Read who flips and who does not."""
        found = _FORM.fullmatch(question)
        if found is None:
            raise ValueError(f"not a question of {self.name}: {question!r}")
        turns = [Turn(who, deed == "flips") for who, deed in _TURN.findall(found[1])]
        return Chain(True, turns)

    def apply(self, state: bool, operation: Turn) -> bool:
        """Turn the coin over, or not."""
        return state != operation.flips

    def mistake(self, state: bool, operation: Turn, rng: random.Random) -> bool:  # noqa: ARG002
        """Take the other side: there is no second way to be wrong."""
        return not self.apply(state, operation)

    def conclude(self, state: bool) -> str:
        """Say whether heads is up."""
        return "yes" if state else "no"
