"""Which domain each example of prepared data is of, and which domains have no answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from limbeck.data import NO_DOMAIN

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Domains:
    """The domains of prepared data.

    Attributes:
        names: By their numbers.
        example_ids: int64 `[E]`, those of all examples that have a domain, ascending; the two of a
            pair share theirs.
        numbers: int64 `[E]`, which domain each is of.
        unlabelled: Numbers of those that have questions without answers alone.
    """

    names: tuple[str, ...]
    example_ids: NDArray[np.int64]
    numbers: NDArray[np.int64]
    unlabelled: frozenset[int] = frozenset()

    @cached_property
    def examples(self) -> dict[int, int]:
        """How many examples each domain has, by its number; those without any are left out."""
        numbers, counts = np.unique(self.numbers, return_counts=True)
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    def dealt_out_again(self, seed: int) -> Domains:
        """Return the same domains, each that of another example drawn without replacement.

        Args:
            seed: Of the permutation.
        """
        _, first, own = np.unique(self.example_ids, return_index=True, return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(first))
        return replace(self, numbers=self.numbers[first][order][own])

    def of(self, example_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the domains of examples that have one.

        Args:
            example_ids: int64 `[E]`.
        """
        return self.numbers[np.searchsorted(self.example_ids, example_ids)]


def read_domains(
    dataset: Dataset, names: Iterable[str], question_only: Collection[int] = ()
) -> Domains:
    """Return the domains of all examples that have one.

    Args:
        dataset: Prepared rows, as `load_prepared` gives them.
        names: Of the domains, by their numbers.
        question_only: Numbers of the templates for questions without an answer.
    """
    import pyarrow.compute as pc

    example_ids, numbers = (
        pc.list_flatten(dataset.data.column(name)).to_numpy().astype(np.int64)
        for name in ("example_ids", "domains")
    )
    order = np.argsort(example_ids, kind="stable")
    order = order[numbers[order] != NO_DOMAIN]
    unlabelled = unlabelled_domains(dataset, question_only)
    return Domains(tuple(names), example_ids[order], numbers[order], unlabelled)


def unlabelled_domains(dataset: Dataset, question_only: Collection[int]) -> frozenset[int]:
    """Return the numbers of the domains that have no example with an answer.

    Args:
        dataset: Prepared rows, as `load_prepared` gives them.
        question_only: Numbers of the templates for questions without an answer.
    """
    if not question_only:
        return frozenset()
    seen: dict[bool, set[int]] = {True: set(), False: set()}
    for domains, templates in zip(
        dataset.data.column("domains").chunks,
        dataset.data.column("example_templates").chunks,
        strict=True,
    ):
        numbers = domains.flatten().to_numpy()
        asks = np.isin(templates.flatten().to_numpy(), list(question_only))
        for unlabelled in seen:
            seen[unlabelled] |= set(np.unique(numbers[asks == unlabelled]).tolist())
    return frozenset(seen[True] - seen[False] - {NO_DOMAIN})
