"""The alignment loss out of its operators: pool, project, measure every row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.alignment.op import distance_forward, projected_distance_forward
from limbeck_kernels.common import accumulation_dtype
from limbeck_kernels.pooling import pooled_states


def semantic_alignment_composed(
    student_ND: Tensor,
    projection_ED: Tensor | None,
    target_IE: Tensor,
    *,
    metric: str,
    weights_I: Tensor | None,
    select_N: Tensor | None,
    cu_seqlens: Tensor | None,
    pooling: str,
    normalizer: Tensor | None,
    impl: str,
) -> Tensor:
    """Compute what `semantic_alignment_naive` defines."""
    valid_I = select_N
    if cu_seqlens is not None:
        student_ND, valid_I = pooled_states(
            student_ND, select_N=select_N, cu_seqlens=cu_seqlens, pooling=pooling, impl=impl
        )
    loss: Tensor
    if projection_ED is None:
        loss = distance_forward(
            student_ND, target_IE, weights_I, valid_I, normalizer, metric, impl
        )[0]
        return loss
    dtype = accumulation_dtype(student_ND.dtype)
    effective_I = student_ND.new_ones(student_ND.shape[0], dtype=dtype)
    if weights_I is not None:
        effective_I = weights_I.to(dtype)
    if valid_I is not None:
        effective_I = torch.where(valid_I, effective_I, 0)
    if cu_seqlens is None:
        loss = projected_distance_forward(
            student_ND, projection_ED, target_IE, effective_I, normalizer, metric, impl
        )[0]
        return loss
    # (1) and (2) commute, so a segment is projected once and not once a token. A pooled NaN of an
    # item that weighs nothing must not meet the projection.
    live_ID = torch.where(effective_I[:, None] != 0, student_ND, 0)
    with torch.autocast(student_ND.device.type, enabled=False):
        predicted_IE = F.linear(live_ID, projection_ED.to(live_ID.dtype))
    loss = distance_forward(predicted_IE, target_IE, effective_I, None, normalizer, metric, impl)[0]
    return loss
