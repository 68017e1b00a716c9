"""Weighted negative log-likelihood of R rows without ever holding their R × V logits.

One walk over chunks of rows: logits, losses, and at once, while the logits are there, the gradients
that are wanted. Performance notes: chunks of 2048 rows keep the matrix products large enough to run
at the speed of the matrix units, and the fp32 logits of a chunk at V = 152k are 1.2 GB whatever the
batch; the gradient of the logits is scaled by its largest row factor before it is rounded to the
working dtype, so that weights of 1e-6 do not push fp16 into its denormals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, product

CHUNK_ROWS = 2048


class Walked(NamedTuple):
    """Losses of rows, and the gradients of their sum in units of `unit`.

    The dtype is that of accumulation, but for the rows' gradient, which has that of the states.
    What was not wanted is empty.
    """

    nll_R: Tensor  # weighted; weight 0 gives 0
    unit: Tensor  # 0-d, the largest |weight|; 1 where all are 0
    d_rows_RD: Tensor
    d_weight_VD: Tensor
    d_bias_V: Tensor


def walk(
    hidden_ND: Tensor,
    head_weight_VD: Tensor,
    bias_V: Tensor | None,
    rows_R: Tensor,
    labels_R: Tensor,
    weights_R: Tensor,
    softcap: float | None,
    scale: float,
    wanted: Sequence[bool],
) -> Walked:
    """Measure the rows, and differentiate their sum.

    `wanted` says by what: rows, head weight, bias.
    """
    n_rows, dtype = rows_R.numel(), accumulation_dtype(hidden_ND.dtype)
    want_rows, want_weight, want_bias = wanted[0], wanted[1], wanted[2] and bias_V is not None
    any_wanted = want_rows or want_weight or want_bias
    largest = weights_R.abs().amax() if n_rows else weights_R.new_zeros(())
    unit = torch.where(largest == 0, 1.0, largest)
    nll_R = hidden_ND.new_empty(n_rows, dtype=dtype)
    d_rows_RD = hidden_ND.new_empty((n_rows, hidden_ND.shape[1]) if want_rows else 0)
    d_weight_VD = hidden_ND.new_zeros(head_weight_VD.shape if want_weight else 0, dtype=dtype)
    d_bias_V = hidden_ND.new_zeros(head_weight_VD.shape[0] if want_bias else 0, dtype=dtype)

    with torch.autocast(hidden_ND.device.type, enabled=False):
        weight_VD = head_weight_VD.to(hidden_ND.dtype)
        for start in range(0, n_rows, CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            weights_C, labels_C1 = weights_R[chunk], labels_R[chunk, None]
            # What stands in a row of weight 0 must not matter, even a NaN.
            hidden_CD = torch.where(weights_C[:, None] != 0, hidden_ND[rows_R[chunk]], 0)
            logits_CV = _logits(hidden_CD, weight_VD, bias_V, softcap, scale, dtype)
            slope_CV = None
            if softcap is not None and any_wanted:  # the derivative of tanh
                slope_CV = (logits_CV / softcap).square_().neg_().add_(1)

            # The exponentials of the loss are those of the softmax, but for their sum.
            top_C1 = logits_CV.amax(1, keepdim=True)
            true_C1 = logits_CV.gather(1, labels_C1).sub_(top_C1)
            exp_CV = logits_CV.sub_(top_C1).exp_()
            sum_C1 = exp_CV.sum(1, keepdim=True)
            true_C1 -= sum_C1.log()
            nll_R[chunk] = -true_C1.squeeze(1) * weights_C
            if not any_wanted:
                continue

            # p − 1 has no digits left when p is near 1; expm1(log p) taken at once keeps them.
            factor_C1 = (weights_C / unit * scale)[:, None]
            grad_CV = exp_CV.mul_(factor_C1 / sum_C1)
            grad_CV.scatter_(1, labels_C1, true_C1.expm1_().mul_(factor_C1))
            if slope_CV is not None:
                grad_CV.mul_(slope_CV)
            if want_bias:
                d_bias_V += grad_CV.sum(0)
            narrow_CV = grad_CV.to(hidden_ND.dtype)
            if want_rows:
                d_rows_RD[chunk] = product(narrow_CV, weight_VD, dtype)
            if want_weight:
                d_weight_VD += product(narrow_CV.T, hidden_CD, dtype)
    return Walked(nll_R, unit, d_rows_RD, d_weight_VD, d_bias_V)


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
