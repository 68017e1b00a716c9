"""The naive alignment with nothing kept between forward and backward but its inputs.

Autograd through the definition holds some fifteen fp32 copies of the hidden states; here backward
runs the definition once more and differentiates that, so the peak is one pass and not two, and
`[N, D]` intermediates live for the length of the backward only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.alignment.naive import semantic_alignment_naive
from limbeck_kernels.common import refuse_double_backward


class Alignment(torch.autograd.Function):
    """The loss of `semantic_alignment_naive`; gradients for the student and the projection."""

    @staticmethod
    def forward(
        ctx: Any,
        student_ND: Tensor,
        projection_ED: Tensor | None,
        target_IE: Tensor,
        weights_I: Tensor | None,
        select_N: Tensor | None,
        cu_seqlens: Tensor | None,
        normalizer: Tensor | None,
        metric: str,
        pooling: str,
    ) -> Tensor:
        """Return the 0-d loss."""
        ctx.save_for_backward(
            student_ND, projection_ED, target_IE, weights_I, select_N, cu_seqlens, normalizer
        )
        ctx.metric, ctx.pooling = metric, pooling
        with torch.autocast(student_ND.device.type, enabled=False):
            return semantic_alignment_naive(
                student_ND,
                projection_ED,
                target_IE,
                metric=metric,
                weights_I=weights_I,
                select_N=select_N,
                cu_seqlens=cu_seqlens,
                pooling=pooling,
                normalizer=normalizer,
            )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Run the definition again and differentiate it."""
        refuse_double_backward("semantic_alignment_loss")
        student_ND, projection_ED, target_IE, weights_I, select_N, cu_seqlens, normalizer = (
            ctx.saved_tensors
        )
        student_ND = student_ND.detach().requires_grad_(ctx.needs_input_grad[0])
        if projection_ED is not None:
            projection_ED = projection_ED.detach().requires_grad_(ctx.needs_input_grad[1])
        wanted = [t for t in (student_ND, projection_ED) if t is not None and t.requires_grad]
        with torch.enable_grad(), torch.autocast(student_ND.device.type, enabled=False):
            loss = semantic_alignment_naive(
                student_ND,
                projection_ED,
                target_IE,
                metric=ctx.metric,
                weights_I=weights_I,
                select_N=select_N,
                cu_seqlens=cu_seqlens,
                pooling=ctx.pooling,
                normalizer=normalizer,
            )
        gradients = iter(torch.autograd.grad(loss, wanted, grad))
        d_student_ND = next(gradients) if ctx.needs_input_grad[0] else None
        d_projection_ED = next(gradients) if ctx.needs_input_grad[1] else None
        return d_student_ND, d_projection_ED, None, None, None, None, None, None, None
