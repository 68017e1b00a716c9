"""The public induction sets: a file of tasks, of which the paper's split keeps a tenth for tests.

They are those of ReDis (arXiv 2504.10647), in the format that `limbeck.induction.read_tasks` reads.
Who trains on none of them can be tested on all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.induction.files import read_tasks
from limbeck.induction.records import query_record
from limbeck.induction.split import split_tasks
from limbeck.induction.task import InductionTask, Kind
from limbeck.tasks.base import Question, seeded

__all__ = ["InductionFile"]


@dataclass(frozen=True)
class InductionFile:
    """The tasks of one kind in a file.

    Args:
        kind: Of all of them.
        path: The file.
        all_tests: Whether all of it is for tests, so that there is nothing to train on.
    """

    kind: Kind
    path: Path
    all_tests: bool = False

    def __str__(self) -> str:
        """Name the task; the place does not matter, but that it is no generated one does."""
        return f"{self.kind}_public"

    def tasks(self, n: int | None, *, seed: int, split: str) -> list[InductionTask]:
        """Return the tasks of a split in the split's order, or `n` of them.

        Args:
            n: How many; None for all.
            seed: Draws them, where there are more.
            split: `train` or `test`; there is no other.

        Raises:
            InputError: The file is damaged.
        """
        tasks = read_tasks(self.path, kind=self.kind)
        train, test = ([], tasks) if self.all_tests else split_tasks(tasks)
        found = {"train": train, "test": test}.get(split, [])
        if n is None or n >= len(found):
            return found
        kept = seeded(f"{self}/{seed}").sample(range(len(found)), n)
        return [found[index] for index in sorted(kept)]

    def questions(self, n: int | None, *, seed: int, split: str) -> Iterator[Question]:
        """Yield the queries of a split's tasks in order, or `n` of them."""
        found = list(self.records(split=split))
        if n is not None and n < len(found):
            kept = seeded(f"{self}/{seed}").sample(range(len(found)), n)
            found = [found[index] for index in sorted(kept)]
        for record in found:
            yield Question(str(self), record["id"], record["question"], record["answer"])

    def records(self, *, split: str = "train") -> Iterator[dict[str, Any]]:
        """Yield the queries of a split as records; nobody knows their rules."""
        for task in self.tasks(None, seed=0, split=split):
            for number in range(len(task.queries)):
                yield query_record(task, number, domain=str(self), split=split)
