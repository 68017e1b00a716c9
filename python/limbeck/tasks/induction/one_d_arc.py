"""Pixel rows: what happens to the coloured blocks of a row?

After 1D-ARC (Xu et al., arXiv 2305.18354), which has one row for each grid of ARC. Colours are
drawn anew for every row; 0 is the background.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from limbeck.induction.task import Kind
from limbeck.tasks.base import check_range
from limbeck.tasks.induction.base import Completed, Induction
from limbeck.tasks.induction.lists import draw_steps, draw_unlike, shows_enough

__all__ = ["OneDArc"]

_STEPS = (
    # Move: to the right, to the left, round the end, mirrored, all the way.
    "[0] * {n} + xs[:-{n}]",
    "xs[{n}:] + [0] * {n}",
    "xs[-{n}:] + xs[:-{n}]",
    "xs[::-1]",
    "[x for x in xs if x] + [0] * count(xs, 0)",
    "[0] * count(xs, 0) + [x for x in xs if x]",
    # Paint: every block, one colour, by place, by rank.
    "[{x} if x else 0 for x in xs]",
    "[{x} if x == {y} else x for x in xs]",
    "[{x} if x and i % {d} == 0 else x for i, x in enumerate(xs)]",
    "[{x} if x == max(xs) else x for x in xs]",
    "[{x} if x and count(xs, x) > {n} else x for x in xs]",
    "[0 if x else {x} for x in xs]",
    # Keep: no lone pixels, only the highest colour, only the first of each block.
    "[x if x in xs[max(i - 1, 0):i] + xs[i + 1:i + 2] else 0 for i, x in enumerate(xs)]",
    "[x if x == max(xs) else 0 for x in xs]",
    "[x if x != sum(xs[max(i - 1, 0):i]) else 0 for i, x in enumerate(xs)]",
    # Hollow, fill, spread.
    "[0 if x and xs[max(i - 1, 0):i + 2] == [x] * 3 else x for i, x in enumerate(xs)]",
    "[max(xs) if any(xs[:i + 1]) and any(xs[i:]) else 0 for i, x in enumerate(xs)]",
    "[max(xs[:i + 1]) for i, x in enumerate(xs)]",
    "[max(xs[max(i - {n}, 0):i + 1]) for i, x in enumerate(xs)]",
    "[max(xs[i:i + {n} + 1]) for i, x in enumerate(xs)]",
)


@dataclass(frozen=True)
class OneDArc(Induction):
    """Transformations of rows with up to four blocks.

    Args:
        demonstrations: Pairs shown of a task, 2 to 16.
        queries: Questions asked of a task, 1 to 16.
        steps: Transformations one after the other at most, 1 to 3.
        longest: Pixels of a row at most, 12 to 64.
    """

    name: ClassVar[str] = "one_d_arc"
    kind: ClassVar[Kind] = "one_d_arc"
    demonstrations: int = 3
    queries: int = 1
    steps: int = 1
    longest: int = 24

    def __post_init__(self) -> None:
        check_range(self, demonstrations=(2, 16), queries=(1, 16), steps=(1, 3), longest=(12, 64))

    def draw_rule(self, rng: random.Random) -> str:
        """Draw a transformation, or several."""
        return draw_steps(_STEPS, self.steps, rng)

    def draw_inputs(self, rule: str, rng: random.Random) -> list[str]:  # noqa: ARG002 (any)
        """Draw different rows."""
        return draw_unlike(self._row, self.demonstrations, (), rng)

    def complete(self, rule: str, inputs: Sequence[str], rng: random.Random) -> Completed | None:
        """Apply the rule to them, and to others."""
        shown = self.run(rule, inputs)
        asked = self.run(rule, draw_unlike(self._row, self.queries, inputs, rng))
        if not shown or not asked or not shows_enough(rule, shown):
            return None
        return Completed(rule, shown, asked)

    def _row(self, rng: random.Random) -> list[int]:
        """Blocks of one colour or of two, with background between and around them."""
        colours = rng.sample(range(1, 10), rng.randint(1, 2))
        row = [0] * rng.randint(10, self.longest)
        place = rng.randrange(4)
        for _ in range(rng.randint(1, 4)):
            length = rng.choice((1, 1, 2, 3, 4, 5, 6))
            if place + length >= len(row):
                break
            row[place : place + length] = [rng.choice(colours)] * length
            place += length + rng.randint(1, 4)
        return row
