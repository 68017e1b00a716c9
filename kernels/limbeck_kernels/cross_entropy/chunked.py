"""Weighted negative log-likelihood of R rows without ever holding their R × V logits.

Forward walks the rows in chunks and keeps one number a row, the log-sum-exp; backward walks the
same chunks again, rebuilds the logits and turns them into gradients. Performance notes: chunks of
2048 rows keep both matrix products large enough to run at the speed of the matrix units, and the
fp32 logits of a chunk at V = 152k are 1.2 GB whatever the batch; the gradient of the logits is
scaled by its largest row factor before it is rounded to the working dtype, so that a global
normalizer of 1e6 tokens does not push fp16 into its denormals.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, refuse_double_backward

CHUNK_ROWS = 2048


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `a @ b` accumulated and returned in `dtype`, the operands in their own."""
    if a.dtype == dtype:
        return a @ b
    if a.device.type == "cuda":
        return torch.mm(a, b, out_dtype=dtype)
    return a.to(dtype) @ b.to(dtype)


class RowNegativeLogLikelihood(torch.autograd.Function):
    """`weights_R[i] · (logsumexp(z_i) − z_i[label_i])` for the rows of a hidden-state matrix."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        head_weight_VD: Tensor,
        bias_V: Tensor | None,
        rows_R: Tensor,
        labels_R: Tensor,
        weights_R: Tensor,
        softcap: float | None,
        scale: float,
    ) -> Tensor:
        """Return the weighted negative log-likelihoods `[R]`; a row of weight 0 gives 0."""
        dtype = accumulation_dtype(hidden_ND.dtype)
        ctx.softcap, ctx.scale, ctx.dtype = softcap, scale, dtype
        logsumexp_R = torch.empty(rows_R.numel(), dtype=dtype, device=hidden_ND.device)
        nll_R = torch.empty_like(logsumexp_R)
        with torch.autocast(hidden_ND.device.type, enabled=False):
            weight_VD = head_weight_VD.to(hidden_ND.dtype)
            for chunk in _chunks(rows_R.numel()):
                hidden_CD = _live_rows(hidden_ND, rows_R[chunk], weights_R[chunk])
                logits_CV = _logits(hidden_CD, weight_VD, bias_V, softcap, scale, dtype)
                logsumexp_R[chunk] = torch.logsumexp(logits_CV, dim=1)
                true_C = logits_CV.gather(1, labels_R[chunk, None]).squeeze(1)
                nll_R[chunk] = (logsumexp_R[chunk] - true_C) * weights_R[chunk]
        ctx.save_for_backward(
            hidden_ND, head_weight_VD, bias_V, rows_R, labels_R, weights_R, logsumexp_R
        )
        return nll_R

    @staticmethod
    def backward(ctx: Any, grad_R: Tensor) -> tuple[Tensor | None, ...]:
        """Rebuild each chunk's logits and return the gradients of hidden, weight and bias."""
        refuse_double_backward("selected_cross_entropy")
        hidden_ND, head_weight_VD, bias_V, rows_R, labels_R, weights_R, logsumexp_R = (
            ctx.saved_tensors
        )
        want_hidden, want_weight, want_bias = ctx.needs_input_grad[:3]
        dtype, softcap, scale = ctx.dtype, ctx.softcap, ctx.scale
        d_hidden_ND = torch.zeros_like(hidden_ND) if want_hidden else None
        d_weight_VD = torch.zeros_like(head_weight_VD, dtype=dtype) if want_weight else None
        d_bias_V = torch.zeros_like(bias_V, dtype=dtype) if want_bias else None

        factor_R = grad_R * weights_R
        largest = factor_R.abs().amax() if factor_R.numel() else factor_R.new_ones(())
        largest = torch.where(largest == 0, 1.0, largest)
        factor_R = factor_R / largest

        with torch.autocast(hidden_ND.device.type, enabled=False):
            weight_VD = head_weight_VD.to(hidden_ND.dtype)
            for chunk in _chunks(rows_R.numel()):
                hidden_CD = _live_rows(hidden_ND, rows_R[chunk], weights_R[chunk])
                logits_CV = _logits(hidden_CD, weight_VD, bias_V, softcap, scale, dtype)
                grad_CV = torch.exp(logits_CV - logsumexp_R[chunk, None])
                grad_CV.scatter_add_(
                    1, labels_R[chunk, None], -torch.ones_like(grad_CV[:, :1])
                )  # p − onehot in fp32: the true class keeps its digits when p is near 1
                grad_CV *= factor_R[chunk, None] * scale
                if softcap is not None:
                    grad_CV *= 1 - (logits_CV / softcap).square()  # the derivative of tanh
                if d_bias_V is not None:
                    d_bias_V += grad_CV.sum(0)
                narrow_CV = grad_CV.to(hidden_ND.dtype)
                if d_hidden_ND is not None:
                    d_rows_CD = _product(narrow_CV, weight_VD, dtype) * largest
                    d_hidden_ND.index_add_(0, rows_R[chunk], d_rows_CD.to(hidden_ND.dtype))
                if d_weight_VD is not None:
                    d_weight_VD += _product(narrow_CV.T, hidden_CD, dtype)

        if d_weight_VD is not None:
            d_weight_VD = (d_weight_VD * largest).to(head_weight_VD.dtype)
        if d_bias_V is not None:
            d_bias_V = (d_bias_V * largest).to(bias_V.dtype)
        return d_hidden_ND, d_weight_VD, d_bias_V, None, None, None, None, None


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + CHUNK_ROWS) for start in range(0, n_rows, CHUNK_ROWS)]


def _live_rows(hidden_ND: Tensor, rows_C: Tensor, weights_C: Tensor) -> Tensor:
    """Gather rows, zeroing those of weight 0: what stands there must not matter, even a NaN."""
    return torch.where(weights_C[:, None] != 0, hidden_ND[rows_C], 0)


def _logits(
    hidden_CD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    softcap: float | None,
    scale: float,
    dtype: torch.dtype,
) -> Tensor:
    logits_CV = _product(hidden_CD, weight_VD.T, dtype)
    if bias_V is not None:
        logits_CV = logits_CV + bias_V
    if scale != 1.0:
        logits_CV = logits_CV * scale
    if softcap is not None:
        logits_CV = softcap * torch.tanh(logits_CV / softcap)
    return logits_CV
