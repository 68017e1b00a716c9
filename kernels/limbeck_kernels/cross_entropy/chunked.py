"""Weighted negative log-likelihood of R rows without ever holding their R × V logits.

Forward walks the rows in chunks and keeps one number a row, the log-sum-exp; backward walks the
same chunks again, rebuilds the logits and turns them into gradients. Performance notes: chunks of
2048 rows keep both matrix products large enough to run at the speed of the matrix units, and the
fp32 logits of a chunk at V = 152k are 1.2 GB whatever the batch; the gradient of the logits is
scaled by its largest row factor before it is rounded to the working dtype, so that a global
normalizer of 1e6 tokens does not push fp16 into its denormals.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, product

CHUNK_ROWS = 2048


def forward_rows(
    hidden_ND: Tensor,
    head_weight_VD: Tensor,
    bias_V: Tensor | None,
    rows_R: Tensor,
    labels_R: Tensor,
    weights_R: Tensor,
    softcap: float | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Return weighted negative log-likelihoods and log-sum-exps, both `[R]`; weight 0 gives 0."""
    dtype = accumulation_dtype(hidden_ND.dtype)
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
    return nll_R, logsumexp_R


def backward_rows(
    grad_R: Tensor,
    hidden_ND: Tensor,
    head_weight_VD: Tensor,
    bias_V: Tensor | None,
    rows_R: Tensor,
    labels_R: Tensor,
    weights_R: Tensor,
    logsumexp_R: Tensor,
    softcap: float | None,
    scale: float,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Rebuild each chunk's logits; return the gradients of the rows `[R, D]`, weight and bias.

    `wanted` says which; the others, and that of a bias there is not, are empty.
    """
    want_rows, want_weight, want_bias = wanted
    dtype = logsumexp_R.dtype
    d_rows_RD = hidden_ND.new_empty((rows_R.numel(), hidden_ND.shape[1]) if want_rows else 0)
    d_weight_VD = head_weight_VD.new_zeros(head_weight_VD.shape if want_weight else 0, dtype=dtype)
    biases = 0 if bias_V is None or not want_bias else bias_V.shape
    d_bias_V = head_weight_VD.new_zeros(biases, dtype=dtype)

    factor_R = grad_R * weights_R
    largest = factor_R.abs().amax() if factor_R.numel() else factor_R.new_ones(())
    largest = torch.where(largest == 0, 1.0, largest)
    factor_R = factor_R / largest

    with torch.autocast(hidden_ND.device.type, enabled=False):
        weight_VD = head_weight_VD.to(hidden_ND.dtype)
        for chunk in _chunks(rows_R.numel()):
            hidden_CD = _live_rows(hidden_ND, rows_R[chunk], weights_R[chunk])
            logits_CV = _logits(hidden_CD, weight_VD, bias_V, softcap, scale, dtype)
            factor_C1, labels_C1 = factor_R[chunk, None] * scale, labels_R[chunk, None]
            slope: Tensor | float = 1.0
            if softcap is not None:
                slope = 1 - (logits_CV / softcap).square_()  # the derivative of tanh
            grad_CV = logits_CV.sub_(logsumexp_R[chunk, None])
            # p − 1 has no digits left when p is near 1; exp(z − lse) − 1 taken at once keeps them.
            true_C1 = grad_CV.gather(1, labels_C1).expm1_()
            grad_CV.exp_().scatter_(1, labels_C1, true_C1).mul_(factor_C1).mul_(slope)
            if d_bias_V.numel():
                d_bias_V += grad_CV.sum(0)
            narrow_CV = grad_CV.to(hidden_ND.dtype)
            if want_rows:
                d_rows_RD[chunk] = product(narrow_CV, weight_VD, dtype) * largest
            if want_weight:
                d_weight_VD += product(narrow_CV.T, hidden_CD, dtype)

    d_weight_VD = d_weight_VD.mul_(largest).to(head_weight_VD.dtype)
    d_bias_V = d_bias_V.mul_(largest).to(head_weight_VD.dtype if bias_V is None else bias_V.dtype)
    return d_rows_RD, d_weight_VD, d_bias_V


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
    logits_CV = product(hidden_CD, weight_VD.T, dtype)
    if bias_V is not None:
        logits_CV += bias_V
    if scale != 1.0:
        logits_CV *= scale
    if softcap is not None:
        logits_CV.div_(softcap).tanh_().mul_(softcap)
    return logits_CV
