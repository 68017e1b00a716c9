"""The definition of `semantic_alignment_loss`: pool, project, measure, weigh."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.common import reciprocal
from limbeck_kernels.pooling import pool

MINIMAL_NORM = 1e-8


def distance(predicted_IE: Tensor, target_IE: Tensor, metric: str) -> Tensor:
    """Return the distance of every item, `[I]`: equations (3)–(5) of the README."""
    if metric == "mse":
        return (predicted_IE - target_IE).square().mean(dim=1)
    if metric == "smooth_l1":
        return F.smooth_l1_loss(predicted_IE, target_IE, reduction="none").mean(dim=1)
    # A vector of no length has no direction: distance 1, and no gradient that would give it one.
    long_I = (predicted_IE.detach().norm(dim=1) >= MINIMAL_NORM) & (
        target_IE.norm(dim=1) >= MINIMAL_NORM
    )
    predicted_IE = torch.where(long_I[:, None], predicted_IE, 1.0)
    target_IE = torch.where(long_I[:, None], target_IE, 1.0)
    cosine_I = (predicted_IE * target_IE).sum(1) / (
        predicted_IE.norm(dim=1) * target_IE.norm(dim=1)
    )
    return torch.where(long_I, 1.0 - cosine_I, 1.0)


def semantic_alignment_naive(
    student_ND: Tensor,
    projection_ED: Tensor | None,
    target_IE: Tensor,
    *,
    metric: str,
    weights_I: Tensor | None,
    select_N: Tensor | None,
    cu_seqlens: Tensor | None,
    pooling: str,
    normalizer: Tensor | float | None,
) -> Tensor:
    """Compute equations (1)–(6) of the README beside this file in fp32 (fp64 for fp64)."""
    pooled_ID, valid_I = pool(student_ND, select_N=select_N, cu_seqlens=cu_seqlens, pooling=pooling)
    dtype = pooled_ID.dtype
    if weights_I is None:
        weights_I = torch.ones_like(valid_I, dtype=dtype)
    effective_I = torch.where(valid_I, weights_I.to(dtype), 0)
    live_I = effective_I != 0
    # Masked before the arithmetic, since 0 · NaN is NaN.
    predicted_IE = torch.where(live_I[:, None], pooled_ID, 0)
    if projection_ED is not None:
        predicted_IE = predicted_IE @ projection_ED.to(dtype).T
    distance_I = distance(
        predicted_IE, torch.where(live_I[:, None], target_IE.to(dtype), 0), metric
    )
    z = effective_I.sum() if normalizer is None else normalizer
    return (effective_I * distance_I).sum() * reciprocal(z, distance_I)
