"""A kind of induction task, made without end: random rules, and what they do to random inputs.

A rule is text that `limbeck.induction.rules` parses and runs, so its outputs are exact and it can
be a rationale. A tenth of the tasks is for tests. Training and tests share no rule, by what is left
of it when chance names are taken off, and no set of inputs of demonstrations.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from limbeck.errors import InputError
from limbeck.induction.records import query_record
from limbeck.induction.rules import parse_rule
from limbeck.induction.task import InductionTask, Kind, Pair
from limbeck.tasks.base import Question, seeded, spelled, split_of

__all__ = ["Completed", "Induction"]

# A rule of which so many draws of inputs show nothing gives way to another.
_DRAWS_OF_A_RULE = 30
_DRAWS = 3_000


class Completed(NamedTuple):
    """The parts of a task: the rule's text, the demonstrations, the queries."""

    rule: str
    shown: Sequence[Pair]
    asked: Sequence[Pair]


@dataclass(frozen=True)
class Induction(ABC):
    """One kind of generated task. The fields of a subclass are its difficulty.

    Args:
        demonstrations: Pairs shown of a task.
        queries: Questions asked of a task.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    demonstrations: int = 8
    queries: int = 8

    def __str__(self) -> str:
        """Name the task as `tasks.get` reads it."""
        return spelled(self)

    @abstractmethod
    def draw_rule(self, rng: random.Random) -> str:
        """Draw a rule, or what stands for one until the demonstrations are known."""

    @abstractmethod
    def draw_inputs(self, rule: str, rng: random.Random) -> Sequence[str]:
        """Draw the inputs of the demonstrations."""

    @abstractmethod
    def complete(self, rule: str, inputs: Sequence[str], rng: random.Random) -> Completed | None:
        """Add outputs, queries and the rule's text; None where these inputs show too little."""

    def skeleton(self, rule: str) -> str | None:
        """What decides the split of a rule: all but what chance called its parts; None: nothing."""
        return rule

    def tasks(self, n: int, *, seed: int, split: str) -> Iterator[InductionTask]:
        """Yield `n` tasks of one split, no two alike.

        Args:
            n: How many.
            seed: Another seed, another draw.
            split: `train` or `test`, disjoint whatever the seeds.
        """
        rng = seeded(f"{self}/{split}/{seed}")
        seen: set[str] = set()
        while len(seen) < n:
            task = self._draw(rng, split, f"{self}-{split}-{seed}-{len(seen):05}")
            if task.content_hash not in seen:
                seen.add(task.content_hash)
                yield task

    def questions(self, n: int, *, seed: int, split: str) -> Iterator[Question]:
        """Yield `n` questions, the queries of one task after the other; see `tasks`."""
        for task, number in self._asked(n, seed, split):
            record = query_record(task, number, domain=str(self), split=split)
            yield Question(str(self), record["id"], record["question"], record["answer"])

    def records(
        self,
        n: int,
        *,
        seed: int = 0,
        split: str = "train",
        hallucination: float = 0.0,
        **_phrasing: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yield records whose rationale is the true rule.

        Args:
            n: How many; each is one query of a task, with all demonstrations in its question.
            seed: Another seed, another draw.
            split: `train` or `test`.
            hallucination: 0: there are only true rules.
            _phrasing: What else a teacher of other tasks can be asked; a rule has one wording.

        Raises:
            InputError: Hallucinations are asked for.
        """
        if hallucination:
            raise InputError(
                f"teacher.hallucination: {self.name} has only true rules; set 0, or leave it out"
            )
        for task, number in self._asked(n, seed, split):
            record = query_record(task, number, domain=str(self), split=split)
            yield {
                **record,
                "teacher": "oracle",
                "teacher_answer": record["answer"],
                "meta": {"hallucinated": False},
            }

    def _asked(self, n: int, seed: int, split: str) -> Iterator[tuple[InductionTask, int]]:
        """The first `n` queries, each as its task and its number."""
        count = -(-n // self.queries)
        for place, task in enumerate(self.tasks(count, seed=seed, split=split)):
            left = n - place * self.queries
            yield from ((task, number) for number in range(min(left, self.queries)))

    def _draw(self, rng: random.Random, split: str, identity: str) -> InductionTask:
        for number in range(_DRAWS):
            if number % _DRAWS_OF_A_RULE == 0:
                rule = self._rule(rng, split)
            drawn_inputs = self.draw_inputs(rule, rng)
            inputs = rng.sample(drawn_inputs, len(drawn_inputs))
            if split_of("\n".join(sorted(inputs))) != split:
                continue
            drawn = self.complete(rule, inputs, rng)
            if drawn is not None:
                shown, asked = tuple(drawn.shown), tuple(drawn.asked)
                return InductionTask(self.kind, identity, shown, asked, drawn.rule)
        raise InputError(f"{self}: its settings leave next to no task; ask for less or show more")

    def _rule(self, rng: random.Random, split: str) -> str:
        while True:
            rule = self.draw_rule(rng)
            skeleton = self.skeleton(rule)
            if skeleton is None or split_of(skeleton) == split:
                return rule

    def run(self, rule: str, inputs: Sequence[str]) -> list[Pair] | None:
        """Apply a rule to inputs; None where it gives nothing for one of them."""
        parsed = parse_rule(self.kind, rule)
        outputs = [parsed.apply(given) for given in inputs]
        if any(output is None for output in outputs):
            return None
        return [Pair(given, output or "") for given, output in zip(inputs, outputs, strict=True)]
