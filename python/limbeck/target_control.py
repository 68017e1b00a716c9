"""Targets of other records: the control that tells meaning from regularization.

A student that gains as much from the rationale of a stranger gains nothing from its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TRIES = 100


def permuted(
    rationales: NDArray[np.int64], records: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Draw a permutation of examples that gives each the target of another record.

    In an order in which equal rationales stand together, everyone takes from as far ahead as the
    most frequent rationale is long: nobody gets its own, unless more than half of all share one,
    and then as few as can be. What is left are further rationales of one's own record, which are
    exchanged at random.

    Args:
        rationales: int64 `[E]`, which of the distinct rationales an example has.
        records: int64 `[E]`, which record it is of.
        seed: Of the draw.

    Returns:
        int64 `[E]`: example i takes the target of example `result[i]`.

    Example:
        >>> import numpy as np
        >>> takes = permuted(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 3]), seed=0)
        >>> sorted(takes.tolist()), is_own(np.array([0, 1, 1, 2]), np.arange(4), takes).any()
        ([0, 1, 2, 3], np.False_)
    """
    rng = np.random.default_rng(seed)
    count = len(rationales)
    _, group = np.unique(rationales, return_inverse=True)
    shuffled = rng.permutation(count)
    place = rng.permutation(group.max() + 1)[group]  # the groups, too, stand in random order
    order = shuffled[np.argsort(place[shuffled], kind="stable")]
    takes = np.empty(count, np.int64)
    takes[order] = np.roll(order, -int(np.bincount(group).max()))
    for i in np.flatnonzero(is_own(rationales, records, takes)):
        others = rng.integers(count, size=_TRIES)
        fits = ~_related(rationales, records, np.full(_TRIES, i), takes[others])
        fits &= ~_related(rationales, records, others, np.full(_TRIES, takes[i]))
        if fits.any():
            j = others[fits.argmax()]
            takes[[i, j]] = takes[[j, i]]
    return takes


def is_own(
    rationales: NDArray[np.int64],
    records: NDArray[np.int64],
    takes: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which examples take a target of their own record, or one of the same rationale."""
    return _related(rationales, records, np.arange(len(takes)), takes)


def _related(
    rationales: NDArray[np.int64],
    records: NDArray[np.int64],
    one: NDArray[np.int64],
    two: NDArray[np.int64],
) -> NDArray[np.bool_]:
    return (rationales[one] == rationales[two]) | (records[one] == records[two])


def read_records(prepared: Path) -> NDArray[np.int64]:
    """Number the record of each example by its file and line; in the order of example ids."""
    from limbeck.arrow import file_batches

    numbers: dict[tuple[str, int], int] = {}
    ids: list[int] = []
    records: list[int] = []
    for batch in file_batches(prepared / "examples.arrow"):
        columns = (batch.column(name).to_pylist() for name in ("example_id", "source", "line"))
        for id, source, line in zip(*columns, strict=True):
            ids.append(id)
            records.append(numbers.setdefault((source, line), len(numbers)))
    return np.array(records, np.int64)[np.argsort(ids, kind="stable")]
