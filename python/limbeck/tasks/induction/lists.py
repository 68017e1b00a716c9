"""What list functions and pixel rows share: rules of several steps, and whether each step shows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from limbeck.induction.rules import parse_program
from limbeck.induction.task import Pair

__all__ = ["draw_steps", "draw_unlike", "shows_enough"]


def draw_steps(templates: Sequence[str], most: int, rng: random.Random) -> str:
    """Draw a rule of one to `most` steps, a line each.

    Args:
        templates: Expressions in which `{n}` (1 to 4), `{x}` and `{y}` (1 to 9, different) and
            `{d}` (2 to 4) are drawn.
        most: Steps at most.
        rng: Draws them.
    """
    steps = []
    for template in rng.sample(templates, rng.randint(1, most)):
        x, y = rng.sample(range(1, 10), 2)
        steps.append(template.format(n=rng.randint(1, 4), x=x, y=y, d=rng.randint(2, 4)))
    return "\n".join(steps)


def draw_unlike(
    draw: Callable[[random.Random], list[int]],
    number: int,
    known: Sequence[str],
    rng: random.Random,
) -> list[str]:
    """Draw so many different lists, none of them known, as text."""
    found: dict[str, None] = {}
    while len(found) < number:
        text = str(draw(rng))
        if text not in known:
            found[text] = None
    return list(found)


def shows_enough(rule: str, shown: Sequence[Pair]) -> bool:
    """Whether demonstrations differ and would not come out without some step of the rule.

    Half the outputs at least are no copies of their input, and half are unlike each other.
    """
    half = (len(shown) + 1) // 2
    if sum(pair.input != pair.output for pair in shown) < half:
        return False
    if len({pair.output for pair in shown}) < half:
        return False
    steps = rule.split("\n")
    for n in range(len(steps) if len(steps) > 1 else 0):
        shorter = parse_program("\n".join(steps[:n] + steps[n + 1 :]))
        if all(shorter.apply(pair.input) == pair.output for pair in shown):
            return False
    return True
