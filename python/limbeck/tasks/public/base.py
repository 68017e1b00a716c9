"""A public question set: where it is, how its columns are read, and how it is split.

The sets are those of Fine-tune-CoT (Ho et al., arXiv 2212.10071), with its sizes of train and test.
Where the publisher has splits they are kept; one that is larger than the protocol's is sampled.
Else the protocol's own rule applies: of `numpy.random.RandomState(0).permutation(n)` the first 70 %
are train. The rule is one of places: a file in another order gives the same sizes, not the same
questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.tasks.answers import Kind
from limbeck.tasks.base import Question, seeded
from limbeck.tasks.public.rows import Row, hub_rows, record_rows

__all__ = ["Hub", "Item", "PublicSet", "PublicTask", "folded"]

TRAIN_SHARE = 0.7
SIDES = ("test", "validation", "train")


@dataclass(frozen=True)
class Hub:
    """Where a set is on the hub.

    Attributes:
        id: The repository.
        config: Its configuration, if it has several.
        file: The one file of it to read, where it holds other things too.
        splits: Those that are read.
        test: The split that is the test; None where the rule of places decides.
    """

    id: str
    config: str | None = None
    file: str | None = None
    splits: tuple[str, ...] = ("train", "test")
    test: str | None = "test"


@dataclass(frozen=True)
class Item:
    """A question of a set; `extra` are further fields of its records, such as a rationale."""

    question: str
    answer: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PublicSet:
    """What is known of one set.

    Attributes:
        name: Of the task.
        kind: Of its answers.
        hub: Where it is.
        sizes: Questions in train and test, by the protocol.
        read: A row of the hub's columns as an item; None for a row that is not of the set.
    """

    name: str
    kind: Kind
    hub: Hub
    sizes: tuple[int, int]
    read: Callable[[Row], Item | None]

    def split(self, path: Path | None = None) -> dict[str, list[list[Item]]]:
        """Read the set and part it.

        Args:
            path: None reads the hub. A directory is read as a copy of the hub's repository, or of
                `datasets.save_to_disk`; one with `train.jsonl` and `test.jsonl`, and a file, as
                records (docs/records.md, the format `records`).

        Returns:
            For `train` and `test`, and for `validation` where records name it, the questions in
            order, each with all of its items: a record file may have several rationales of a
            question. No question is in two of them: test goes before validation, that before train.

        Raises:
            InputError: It is not there, or a row lacks a column.
        """
        if path is None or (path.is_dir() and not (path / "train.jsonl").is_file()):
            names = dict.fromkeys(self.hub.splits, "train") | {self.hub.test: "test"}
            rows = [
                (names[split], item)
                for split, row in hub_rows(self.hub, path, self.name)
                if (item := self._item(row)) is not None
            ]
            parted = self.hub.test is not None
        else:
            found = [
                (split, Item(question, answer, extra))
                for split, question, answer, extra in record_rows(path)
            ]
            parted = any(split is not None for split, _ in found)
            rows = [(split if split in SIDES else "train", item) for split, item in found]
        if not parted:
            train, test = _by_place(list(_grouped(item for _, item in rows).values()))
            return {"test": test, "train": train}
        taken: set[str] = set()
        sides = {}
        for side, size in zip(SIDES, (self.sizes[1], None, self.sizes[0]), strict=True):
            groups = _grouped(item for own, item in rows if own == side)
            fresh = [items for question, items in groups.items() if question not in taken]
            taken |= groups.keys()
            if fresh:
                sides[side] = _sample(fresh, size)
        return sides

    def _item(self, row: Row) -> Item | None:
        try:
            return self.read(row)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise InputError(
                f"{self.name}: a row with the columns {', '.join(row)} is none of {self.hub.id} "
                f"({type(error).__name__}: {error}); give the set as its publisher has it, or a "
                "record file"
            ) from error


@dataclass(frozen=True)
class PublicTask:
    """A public set at one place, as a task.

    Args:
        set: What is known of it.
        path: Where it is; None for the hub.
    """

    set: PublicSet
    path: Path | None = None

    def __str__(self) -> str:
        """Name the task; the place does not matter."""
        return self.set.name

    def questions(self, n: int | None, *, seed: int, split: str) -> Iterator[Question]:
        """Yield the questions of a split in order, or `n` of them.

        Args:
            n: How many; None for all.
            seed: Draws them, where there are more.
            split: `train` or `test`.
        """
        found = list(enumerate(self._side(split)))
        if n is not None and n < len(found):
            kept = seeded(f"{self}/{seed}").sample(range(len(found)), n)
            found = [found[index] for index in sorted(kept)]
        for index, items in found:
            identity = f"{self}-{split}-{index:05}"
            yield Question(str(self), identity, items[0].question, items[0].answer, self.set.kind)

    def records(self, *, split: str = "train") -> Iterator[dict[str, Any]]:
        """Yield the records of a split, with what the source has of rationales.

        Args:
            split: `train`, `validation` or `test`.
        """
        for index, items in enumerate(self._side(split)):
            for item in items:
                yield {
                    "id": f"{self}-{split}-{index:05}",
                    "domain": str(self),
                    "question": item.question,
                    "answer": item.answer,
                    **item.extra,
                    "split": split,
                }

    def _side(self, split: str) -> list[list[Item]]:
        return self.set.split(self.path).get(split, [])


def _grouped(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Items by their question."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(folded(item.question), []).append(item)
    return groups


def folded(question: str) -> str:
    """Return a question without its capitals and with single spaces: what makes it the same."""
    return " ".join(question.casefold().split())


def _by_place(groups: Sequence[list[Item]]) -> tuple[list[list[Item]], list[list[Item]]]:
    order = _permutation(len(groups))
    first = round(len(groups) * TRAIN_SHARE)
    train, test = sorted(order[:first]), sorted(order[first:])
    return [groups[index] for index in train], [groups[index] for index in test]


def _sample(groups: list[list[Item]], size: int | None) -> list[list[Item]]:
    if size is None or len(groups) <= size:
        return groups
    return [groups[index] for index in sorted(_permutation(len(groups))[:size])]


def _permutation(count: int) -> list[int]:
    import numpy as np

    # The legacy generator, whose stream is frozen: it is part of the published protocol.
    permuted: list[int] = np.random.RandomState(0).permutation(count).tolist()
    return permuted
