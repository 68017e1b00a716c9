"""Arithmetic chains: someone has a number of things, gets some and loses some.

The same skill in several domains, which differ in their words alone: what is learnt in some can be
tested in another.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from limbeck.tasks.base import Chain, Task, check_range
from limbeck.tasks.surface import BUS, GAME, HARBOUR, SHOP, SUMS, Surface

__all__ = ["Arithmetic", "Bus", "Game", "Harbour", "Sums"]


def _symbols(before: int, change: int, after: int) -> str:
    return f"{before} {'-' if change < 0 else '+'} {abs(change)} = {after}"


def _words(before: int, change: int, after: int) -> str:
    return f"{before} {'minus' if change < 0 else 'plus'} {abs(change)} is {after}."


def _orders(before: int, change: int, after: int) -> str:
    verb, side = ("Take", "from") if change < 0 else ("Add", "to")
    return f"{verb} {abs(change)} {side} {before}: {after}."


@dataclass(frozen=True)
class Arithmetic(Task[int, int]):
    """Additions and subtractions of small whole numbers.

    Args:
        steps: How many of them a question has, 2 to 20.
        largest: No number exceeds it, and none falls below 0; 2 to 1000.
        change: The most that a step adds or takes, 1 to 1000.
    """

    name: ClassVar[str] = "arithmetic"
    surface: ClassVar[Surface] = SHOP
    phrasings = (_symbols, _words, _orders)
    steps: int = 3
    largest: int = 20
    change: int = 5

    def __post_init__(self) -> None:
        check_range(self, steps=(2, 20), largest=(2, 1000), change=(1, 1000))

    def ask(self, rng: random.Random) -> str:
        """Write a random question."""
        surface = self.surface
        words = {"who": rng.choice(surface.who), "what": rng.choice(surface.what)}
        number = rng.randint(0, self.largest)
        text = surface.opening.format(number=number, **words)
        for _ in range(self.steps):
            after = rng.choice([n for n in self._near(number) if n != number])
            verb = rng.choice(surface.gains if after > number else surface.losses)
            text += surface.change.format(verb=verb, number=abs(after - number))
            number = after
        return text + surface.closing.format(**words)

    def read(self, question: str) -> Chain[int, int]:
        """Read the first number and the signed changes."""
        found = self.surface.read(question)
        if found is None:
            raise ValueError(f"not a question of {self.name}: {question!r}")
        return Chain(*found)

    def apply(self, state: int, operation: int) -> int:
        """Add the change."""
        return state + operation

    def mistake(self, state: int, operation: int, rng: random.Random) -> int:
        """Miss the sum by one or two, as one who counts on fingers does."""
        right = state + operation
        return rng.choice([n for n in (right - 2, right - 1, right + 1, right + 2) if n >= 0])

    def conclude(self, state: int) -> str:
        """Say the number."""
        return str(state)

    def _near(self, number: int) -> range:
        """Numbers that one change reaches, within the limits."""
        return range(max(0, number - self.change), min(self.largest, number + self.change) + 1)


class Bus(Arithmetic):
    """The same on a bus."""

    name: ClassVar[str] = "arithmetic_bus"
    surface: ClassVar[Surface] = BUS


class Game(Arithmetic):
    """The same in a game of two teams."""

    name: ClassVar[str] = "arithmetic_game"
    surface: ClassVar[Surface] = GAME


class Harbour(Arithmetic):
    """The same among ships."""

    name: ClassVar[str] = "arithmetic_harbour"
    surface: ClassVar[Surface] = HARBOUR


class Sums(Arithmetic):
    """The same without a story."""

    name: ClassVar[str] = "arithmetic_sums"
    surface: ClassVar[Surface] = SUMS
