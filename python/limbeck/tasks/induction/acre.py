"""ACRE: which objects switch the light on?

After Zhang et al., ACRE: Abstract Causal REasoning Beyond Covariation (CVPR 2021). Some hidden
objects switch the light on, whatever else is present. The answers are what the demonstrations
determine, not what is hidden.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product, zip_longest
from typing import ClassVar

from limbeck.induction.rules import STATES, ObjectMap
from limbeck.induction.solvers import infer_objects, solve_acre
from limbeck.induction.task import InductionTask, Kind, Pair
from limbeck.tasks.base import check_range
from limbeck.tasks.induction.base import Completed, Induction

__all__ = ["Acre"]

_COLOURS = ("red", "blue", "green", "yellow", "gray", "brown", "purple", "cyan")
_MATERIALS = ("rubber", "metal")
_SHAPES = ("cube", "sphere", "cylinder")
_OBJECTS = tuple(map(" ".join, product(_COLOURS, _MATERIALS, _SHAPES)))


@dataclass(frozen=True)
class Acre(Induction):
    """Maps from objects to what is known of them.

    Args:
        demonstrations: Pairs shown of a task, 3 to 12.
        queries: Questions asked of a task, 1 to 8.
        objects: Objects of a task, 4 to 12.
        ambiguous: Demonstrations at most in which the light is on and no object is known to switch
            it on, 0 to 4. No object map satisfies those, nor the true one; the public tasks have up
            to two of them.
    """

    name: ClassVar[str] = "acre"
    kind: ClassVar[Kind] = "acre"
    demonstrations: int = 6
    queries: int = 4
    objects: int = 7
    ambiguous: int = 0

    def __post_init__(self) -> None:
        check_range(self, demonstrations=(3, 12), queries=(1, 8), objects=(4, 12), ambiguous=(0, 4))

    def draw_rule(self, rng: random.Random) -> str:
        """Draw the objects, those that switch the light on first, and how many these are."""
        chosen = rng.sample(_OBJECTS, self.objects)
        return json.dumps([rng.randint(1, 3), chosen])

    def skeleton(self, rule: str) -> None:
        """None: what is hidden is not the rule, and the demonstrations alone decide the split."""

    def draw_inputs(self, rule: str, rng: random.Random) -> list[str]:
        """Draw what is present, each time something else."""
        _, objects = json.loads(rule)
        shown: dict[frozenset[str], str] = {}
        while len(shown) < self.demonstrations:
            present = rng.sample(objects, rng.choice((1, 1, 2, 2, 3, 4)))
            shown[frozenset(present)] = ", ".join(present)
        return list(shown.values())

    def complete(self, rule: str, inputs: Sequence[str], rng: random.Random) -> Completed | None:
        """Switch the light, and ask what follows."""
        number, objects = json.loads(rule)
        causes = set(objects[:number])
        pairs = [
            Pair(given, "on" if causes & set(given.split(", ")) else "off") for given in inputs
        ]
        known = ObjectMap(infer_objects(pairs))
        if len({pair.output for pair in pairs}) < 2:
            return None
        missed = sum(known.apply(pair.input) != pair.output for pair in pairs)
        if missed > self.ambiguous or len(set(known.states.values())) < 2:
            return None
        asked = self._ask(known, pairs, rng)
        return None if asked is None else Completed(json.dumps(known.states), pairs, asked)

    def _ask(
        self, known: ObjectMap, shown: Sequence[Pair], rng: random.Random
    ) -> list[Pair] | None:
        """Queries that were not shown, on which the map says what follows; the states in turn."""
        taken = {frozenset(pair.input.split(", ")) for pair in shown}
        names = sorted(known.states)
        free = [
            few for size in (1, 2, 3) for few in combinations(names, size) if {*few} not in taken
        ]
        # Few objects more often than many, of which there are more.
        free.sort(key=lambda few: rng.random() * len(few))
        waiting: dict[str, list[str]] = {state: [] for state in rng.sample(STATES, len(STATES))}
        for few in free:
            given = ", ".join(rng.sample(few, len(few)))
            waiting[known.apply(given)].append(given)
        asked: list[Pair] = []
        for given, state in _in_turn(waiting):
            query = Pair(given, state)
            if solve_acre(InductionTask(self.kind, "", tuple(shown), (query,))) == [state]:
                asked.append(query)
            if len(asked) == self.queries:
                return rng.sample(asked, len(asked))
        return None


def _in_turn(waiting: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """One input of each state after the other, as long as there are some."""
    for row in zip_longest(*waiting.values()):
        for state, given in zip(waiting, row, strict=True):
            if given is not None:
                yield given, state
