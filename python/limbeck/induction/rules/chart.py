"""All readings of a phrase by a grammar, and the output of the best.

A reading is a tree of productions. It gets a point for every production whose priority exceeds that
of the production it stands in, the whole counting as priority 0, so that what binds tighter should
stand deeper. The output of the reading with the most points is taken; among equals the output that
most readings give, of whatever points, then the shorter, then the first in order of the alphabet.

The number of readings grows exponentially with the phrase. What a reading leaves to the one above
it is its priority, its points and its output alone, so a span of the phrase keeps these with the
number of readings that share them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from limbeck.induction.rules.base import Exhausted

__all__ = ["Production", "best_reading", "is_ambiguous"]

_MOST_WORDS = 64
_MOST_STEPS = 200_000
_LONGEST_OUTPUT = 1_000

Words = tuple[str, ...]
Span = tuple[int, int]


class Production(NamedTuple):
    """What a phrase gives.

    Attributes:
        source: Words, and a number for each part of the phrase that the grammar itself reads.
        target: Words, and the numbers of the parts whose output stands there.
        priority: The higher, the deeper in a reading the production should stand.
    """

    source: tuple[str | int, ...]
    target: tuple[str | int, ...]
    priority: int


class _Reading(NamedTuple):
    priority: int
    points: int
    output: Words


class _Chart:
    """The readings of every span of a phrase."""

    def __init__(self, productions: tuple[Production, ...], words: Words) -> None:
        known = set(words)
        usable = [p for p in productions if all(isinstance(s, int) or s in known for s in p.source)]
        self.words = words
        self.renaming = [p for p in usable if p.source == (0,)]
        self.productions = [p for p in usable if p.source != (0,)]
        self.cells: dict[Span, Counter[_Reading]] = {}
        self.steps = 0

    def read(self) -> Counter[_Reading]:
        """The readings of the whole, their number with each."""
        for end in range(1, len(self.words) + 1):
            for begin in range(end - 1, -1, -1):
                self.cells[begin, end] = self._readings(begin, end)
        return self.cells[0, len(self.words)]

    def _readings(self, begin: int, end: int) -> Counter[_Reading]:
        cell: Counter[_Reading] = Counter()
        for production in self.productions:
            for spans in self._matches(production.source, begin, end):
                self._combine(production, [self.cells[span] for span in spans], cell)
        # A production that only renames is applied once, else it could go round for ever.
        below = Counter(cell)
        for production in self.renaming:
            self._combine(production, [below], cell)
        return cell

    def _matches(self, source: tuple[str | int, ...], begin: int, end: int) -> Iterator[list[Span]]:
        """The spans that the parts of a source cover, for each way in which it covers a span."""
        self._step(1)
        first, rest = source[0], source[1:]
        if isinstance(first, str):
            if self.words[begin] != first:
                return
            if rest and begin + 1 < end:
                yield from self._matches(rest, begin + 1, end)
            elif not rest and begin + 1 == end:
                yield []
            return
        if not rest:
            if self.cells[begin, end]:
                yield [(begin, end)]
            return
        for middle in range(begin + 1, end - len(rest) + 1):
            if self.cells[begin, middle]:
                for spans in self._matches(rest, middle, end):
                    yield [(begin, middle), *spans]

    def _combine(
        self, production: Production, parts: list[Counter[_Reading]], cell: Counter[_Reading]
    ) -> None:
        for chosen in product(*(part.items() for part in parts)):
            outputs = [reading.output for reading, _ in chosen]
            length = sum(len(outputs[s]) if isinstance(s, int) else 1 for s in production.target)
            if length > _LONGEST_OUTPUT:
                raise Exhausted
            self._step(1 + length)
            output: list[str] = []
            for symbol in production.target:
                output.extend(outputs[symbol] if isinstance(symbol, int) else (symbol,))
            points, count = 0, 1
            for reading, number in chosen:
                points += reading.points + (production.priority < reading.priority)
                count *= number
            cell[_Reading(production.priority, points, tuple(output))] += count

    def _step(self, cost: int) -> None:
        self.steps += cost
        if self.steps > _MOST_STEPS:
            raise Exhausted


def best_reading(productions: tuple[Production, ...], words: Words) -> Words | None:
    """Return the output of the best reading of a phrase, None where it has no reading.

    Raises:
        Exhausted: The phrase or its readings are too many.
    """
    points, count = _outputs(productions, words)
    return min(
        points,
        key=lambda output: (-points[output], -count[output], len(output), output),
        default=None,
    )


def is_ambiguous(productions: tuple[Production, ...], words: Words) -> bool:
    """Whether the readings with the most points differ in their output.

    Raises:
        Exhausted: The phrase or its readings are too many.
    """
    points, _ = _outputs(productions, words)
    most = max(points.values(), default=0)
    return sum(each == most for each in points.values()) > 1


def _outputs(
    productions: tuple[Production, ...], words: Words
) -> tuple[dict[Words, int], Counter[Words]]:
    """The most points of a reading with an output, and how many readings give it."""
    if len(words) > _MOST_WORDS:
        raise Exhausted
    points: dict[Words, int] = {}
    count: Counter[Words] = Counter()
    if not words:
        return points, count
    for reading, number in _Chart(productions, words).read().items():
        score = reading.points + (reading.priority > 0)
        points[reading.output] = max(points.get(reading.output, 0), score)
        count[reading.output] += number
    return points, count
