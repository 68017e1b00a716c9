"""What a loss contributes to the gradient of the states, before anything as wide as them exists.

Every part is small or already there: the sum over parts is taken once, row by row, where the
gradient is written (`backward.py`, `lean.py`): equation (2) of README.md.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Gathered(NamedTuple):
    """`share[i] · values[index[i]]`; nothing where the index is −1.

    The rows of the cross-entropy, all with the share that arrives at the loss, or one state a
    segment. Without an index row i is its own, and without a share it is 1.
    """

    values_MD: Tensor
    index_N: Tensor | None
    share_N: Tensor | None


class Distance(NamedTuple):
    """The gradient of a per-token distance: equation (7) of the alignment's README."""

    grad: Tensor
    inverse: Tensor
    target_ND: Tensor
    factors: Tensor
    metric: str


class Logits(NamedTuple):
    """The reversed gradient of per-token domain logits: equation (6) of the domain's README."""

    grad: Tensor
    inverse: Tensor
    strength: Tensor
    weight_KD: Tensor
    gradient_NK: Tensor
    row_weight_N: Tensor


class Parts(NamedTuple):
    """All that the gradient of the states is the sum of."""

    gathered: tuple[Gathered, ...]  # at most three
    distance: Distance | None
    logits: Logits | None


def collected(parts: list[Gathered | Distance | Logits]) -> Parts:
    """Sort parts by what they are; of distances and logits there is at most one."""
    distances = [part for part in parts if isinstance(part, Distance)]
    logits = [part for part in parts if isinstance(part, Logits)]
    assert len(distances) <= 1
    assert len(logits) <= 1
    return Parts(
        tuple(part for part in parts if isinstance(part, Gathered)),
        distances[0] if distances else None,
        logits[0] if logits else None,
    )
