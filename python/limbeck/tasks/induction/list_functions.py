"""List functions: what does this function do to a list of numbers?

After Rule's List Functions (The Child as Hacker, 2020): functions of a small language, here drawn
step by step.
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

__all__ = ["ListFunctions"]

_STEPS = (
    "xs[::-1]",
    "xs[{n}:]",
    "xs[:{n}]",
    "xs[-{n}:]",
    "xs[:-{n}]",
    "xs[::{d}]",
    "xs[{n}:] + xs[:{n}]",
    "[xs[{n}]]",
    "sorted(xs)",
    "sorted(xs, reverse=True)",
    "unique(xs)",
    "xs + [{x}]",
    "[{x}] + xs",
    "xs + xs",
    "xs + xs[::-1]",
    "[xs[0]] * {n} + xs",
    "[len(xs)]",
    "[sum(xs)]",
    "[max(xs)]",
    "[min(xs)]",
    "[min(xs), max(xs)]",
    "[count(xs, {x})] + xs",
    "[x for x in xs if x > {x}]",
    "[x for x in xs if x < {x}]",
    "[x for x in xs if x != {x}]",
    "[x for x in xs if x % {d} == 0]",
    "[x for x in xs if x % {d} != 0]",
    "[x for x in xs if count(xs, x) == 1]",
    "[x for x in xs if x != max(xs)]",
    "[x for i, x in enumerate(xs) if i % {d} == 0]",
    "[x for i, x in enumerate(xs) if x > i]",
    "[x for x in xs for _ in range({d})]",
    "[x + {n} for x in xs]",
    "[x * {d} for x in xs]",
    "[x // {d} for x in xs]",
    "[{x} if x == {y} else x for x in xs]",
    "[min(x, {x}) for x in xs]",
    "[max(x, {x}) for x in xs]",
    "[x - min(xs) for x in xs]",
    "[x + i for i, x in enumerate(xs)]",
    "[{x} if i == {n} else x for i, x in enumerate(xs)]",
    "[i for i, x in enumerate(xs) if x > {x}]",
    "[sum(xs[:i + 1]) for i in range(len(xs))]",
    "[max(xs[:i + 1]) for i in range(len(xs))]",
    "[x + y for x, y in zip(xs, xs[1:])]",
    "[abs(x - y) for x, y in zip(xs, xs[1:])]",
    "[count(xs, x) for x in unique(xs)]",
)
_LONGEST = 10
_LONGEST_OUTPUT = 24


@dataclass(frozen=True)
class ListFunctions(Induction):
    """Rules of one or more steps over lists of digits.

    Args:
        demonstrations: Pairs shown of a task, 2 to 16.
        queries: Questions asked of a task, 1 to 16.
        steps: Steps of a rule at most, 1 to 4.
    """

    name: ClassVar[str] = "list_functions"
    kind: ClassVar[Kind] = "list_functions"
    steps: int = 2

    def __post_init__(self) -> None:
        check_range(self, demonstrations=(2, 16), queries=(1, 16), steps=(1, 4))

    def draw_rule(self, rng: random.Random) -> str:
        """Draw a rule of some steps."""
        return draw_steps(_STEPS, self.steps, rng)

    def draw_inputs(self, rule: str, rng: random.Random) -> list[str]:  # noqa: ARG002 (any)
        """Draw different lists."""
        return draw_unlike(_list, self.demonstrations, (), rng)

    def complete(self, rule: str, inputs: Sequence[str], rng: random.Random) -> Completed | None:
        """Apply the rule to them, and to others."""
        shown = self.run(rule, inputs)
        asked = self.run(rule, draw_unlike(_list, self.queries, inputs, rng))
        if not shown or not asked or not shows_enough(rule, shown):
            return None
        longest = max(pair.output.count(",") for pair in (*shown, *asked))
        return Completed(rule, shown, asked) if longest < _LONGEST_OUTPUT else None


def _list(rng: random.Random) -> list[int]:
    return [rng.randrange(10) for _ in range(rng.randint(2, _LONGEST))]
