"""The definition of `distillation_head`: three losses on the same states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from limbeck_kernels.alignment import semantic_alignment_loss
from limbeck_kernels.cross_entropy import selected_cross_entropy
from limbeck_kernels.domain import domain_adversarial_loss


def distillation_head_naive(
    hidden: Tensor,
    *,
    cross_entropy: Mapping[str, Any] | None = None,
    alignment: Mapping[str, Any] | None = None,
    domain: Mapping[str, Any] | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Compute the three losses, each with its own backward: equation (1) of README.md."""
    return (
        None if cross_entropy is None else selected_cross_entropy(hidden, **cross_entropy),
        None if alignment is None else semantic_alignment_loss(hidden, **alignment),
        None if domain is None else domain_adversarial_loss(hidden, **domain),
    )
