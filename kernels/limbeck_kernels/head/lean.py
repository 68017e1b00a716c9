"""The sum of all parts of the states' gradient in plain PyTorch, in chunks of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_kernels.alignment import lean as alignment_lean
from limbeck_kernels.common import accumulation_dtype, product
from limbeck_kernels.head.parts import Gathered, Parts

CHUNK_ROWS = 4096


def _gather(part: Gathered, chunk: slice, dtype: torch.dtype) -> Tensor | None:
    if part.index_N is None:
        return part.values_MD[chunk].to(dtype)
    if part.values_MD.shape[0] == 0:
        return None
    index_C = part.index_N[chunk]
    rows_CD = part.values_MD[index_C.clamp(min=0)].to(dtype)
    if part.share_N is not None:
        rows_CD = rows_CD * part.share_N[chunk, None]
    return torch.where(index_C[:, None] >= 0, rows_CD, 0)


def states_backward(hidden_ND: Tensor, parts: Parts) -> Tensor:
    """Return the gradient of the states, `[N, D]` in their dtype, each row written once."""
    dtype = accumulation_dtype(hidden_ND.dtype)
    n_rows, width = hidden_ND.shape
    d_hidden_ND = hidden_ND.new_empty(n_rows, width)
    for start in range(0, n_rows, CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        sum_CD = torch.zeros_like(hidden_ND[chunk], dtype=dtype)
        for part in parts.gathered:
            rows_CD = _gather(part, chunk, dtype)
            if rows_CD is not None:
                sum_CD += rows_CD
        if parts.distance is not None:
            d = parts.distance
            sum_CD += alignment_lean.distance_backward(
                d.grad, hidden_ND[chunk], d.target_ND[chunk], d.factors[chunk], d.inverse, d.metric,
                dtype,
            )  # fmt: skip
        if parts.logits is not None:
            c = parts.logits
            scale = -c.strength.to(dtype) * c.grad.to(dtype) * c.inverse
            weight_KD = c.weight_KD.to(hidden_ND.dtype)
            gradient_CK = c.gradient_NK[chunk, : weight_KD.shape[0]] * scale
            sum_CD += product(gradient_CK, weight_KD, dtype)
        d_hidden_ND[chunk] = sum_CD
    return d_hidden_ND
