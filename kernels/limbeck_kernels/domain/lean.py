"""The row-wise domain loss in plain PyTorch, in chunks of rows: equations (1)–(8) of README.md.

Where Triton is not: CPU, MPS, XPU, fp64, more than 64 domains. Nothing of the size of the hidden
states is made but their gradient; −λ and 1/Z are multiplied into the gradient of the K logits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, product, reciprocal
from limbeck_kernels.domain.naive import effective_weights, token_domains

CHUNK_ROWS = 4096


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + CHUNK_ROWS) for start in range(0, n_rows, CHUNK_ROWS)]


def _live(hidden_CD: Tensor, weight_C: Tensor) -> Tensor:
    """Zero the rows that do not count: a NaN there must not meet the arithmetic."""
    return torch.where(weight_C[:, None] != 0, hidden_CD, 0)


def rows_forward(
    hidden_ND: Tensor,
    weight_KD: Tensor,
    bias_K: Tensor | None,
    domains: Tensor,
    weights_N: Tensor | None,
    select_N: Tensor | None,
    cu_seqlens: Tensor | None,
    normalizer: Tensor | None,
) -> list[Tensor]:
    """Return the loss, its unnormalised gradient by the logits `[N, K]`, weights `[N]`, 1/Z."""
    dtype = accumulation_dtype(hidden_ND.dtype)
    domains_N = token_domains(domains, cu_seqlens, hidden_ND.shape[0])
    row_weight_N = effective_weights(domains_N, weights_N, select_N, dtype)
    labels_N = torch.where(row_weight_N != 0, domains_N, 0)
    gradient_NK = hidden_ND.new_empty(hidden_ND.shape[0], weight_KD.shape[0], dtype=dtype)
    weight_DK = weight_KD.to(hidden_ND.dtype).T
    loss = hidden_ND.new_zeros((), dtype=dtype)
    for chunk in _chunks(hidden_ND.shape[0]):
        logits_CK = product(_live(hidden_ND[chunk], row_weight_N[chunk]), weight_DK, dtype)
        if bias_K is not None:
            logits_CK = logits_CK + bias_K
        nll_C = F.cross_entropy(logits_CK, labels_N[chunk], reduction="none")
        loss += (nll_C * row_weight_N[chunk]).sum()
        p_CK = logits_CK.softmax(dim=1)
        # The true class gets −Σ of the others: p − 1 has no digits left when p is near 1.
        p_CK.scatter_(1, labels_N[chunk, None], 0.0)
        p_CK.scatter_(1, labels_N[chunk, None], -p_CK.sum(1, keepdim=True))
        gradient_NK[chunk] = p_CK * row_weight_N[chunk, None]
    inverse = reciprocal(row_weight_N.sum() if normalizer is None else normalizer, loss)
    return [torch.where(inverse == 0, 0, loss * inverse), gradient_NK, row_weight_N, inverse]


def rows_backward(
    grad: Tensor,
    hidden_ND: Tensor,
    weight_KD: Tensor,
    bias_K: Tensor | None,
    gradient_NK: Tensor,
    row_weight_N: Tensor,
    inverse: Tensor,
    strength: Tensor,
    states: bool = True,
) -> list[Tensor]:
    """Return the gradients of hidden (empty unless wanted), weight and bias (empty without)."""
    dtype = gradient_NK.dtype
    scale = grad.to(dtype) * inverse
    reversed_NK = gradient_NK * (-strength.to(dtype) * scale)
    d_hidden_ND = hidden_ND.new_empty(hidden_ND.shape if states else 0)
    d_weight_KD = torch.zeros_like(weight_KD, dtype=dtype)
    narrow_KD = weight_KD.to(hidden_ND.dtype)
    for chunk in _chunks(hidden_ND.shape[0]):
        if states:
            d_hidden_ND[chunk] = product(reversed_NK[chunk], narrow_KD, dtype)
        states_CD = _live(hidden_ND[chunk], row_weight_N[chunk])
        d_weight_KD += product(gradient_NK[chunk].T, states_CD, dtype)
    d_weight_KD = (d_weight_KD * scale).to(weight_KD.dtype)
    if bias_K is None:
        return [d_hidden_ND, d_weight_KD, weight_KD.new_empty(0)]
    return [d_hidden_ND, d_weight_KD, (gradient_NK.sum(0) * scale).to(bias_K.dtype)]
