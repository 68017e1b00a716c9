"""The row-wise distance in plain PyTorch, in chunks of rows: equations (3)–(7) of README.md.

Where Triton is not: CPU, MPS, XPU, fp64. No fp32 copy of all states is made, forward or backward.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_kernels.alignment.naive import MINIMAL_NORM
from limbeck_kernels.common import accumulation_dtype, reciprocal

CHUNK_ROWS = 4096


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + CHUNK_ROWS) for start in range(0, n_rows, CHUNK_ROWS)]


def distance_forward(
    state_IE: Tensor,
    target_IE: Tensor,
    weights_I: Tensor | None,
    valid_I: Tensor | None,
    normalizer: Tensor | None,
    metric: str,
) -> list[Tensor]:
    """Return the loss, the factors of the backward `[I, 2]` or `[I, 1]`, and 1/Z."""
    dtype = accumulation_dtype(state_IE.dtype)
    n_items, width = state_IE.shape
    weight_I = state_IE.new_ones(n_items, dtype=dtype)
    if weights_I is not None:
        weight_I = weights_I.to(dtype)
    if valid_I is not None:
        weight_I = torch.where(valid_I, weight_I, 0)
    loss = weight_I.new_zeros(())
    factors = weight_I.new_empty(n_items, 2 if metric == "cosine" else 1)
    for chunk in _chunks(n_items):
        live_C = weight_I[chunk] != 0
        state_CE = torch.where(live_C[:, None], state_IE[chunk], 0).to(dtype)
        target_CE = torch.where(live_C[:, None], target_IE[chunk], 0).to(dtype)
        if metric != "cosine":
            gap_CE = state_CE - target_CE
            if metric == "mse":
                distance_C = gap_CE.square_().sum(1) / width
            else:
                size_CE = gap_CE.abs_()
                huber_CE = torch.where(size_CE < 1, 0.5 * size_CE * size_CE, size_CE - 0.5)
                distance_C = huber_CE.sum(1) / width
            factors[chunk, 0] = weight_I[chunk]
            loss += (weight_I[chunk] * distance_C).sum()
            continue
        state_norm_C = torch.linalg.vector_norm(state_CE, dim=1)
        target_norm_C = torch.linalg.vector_norm(target_CE, dim=1)
        short_C = (state_norm_C < MINIMAL_NORM) | (target_norm_C < MINIMAL_NORM)
        norms_C = torch.where(short_C, 1, state_norm_C * target_norm_C)
        square_C = torch.where(short_C, 1, state_norm_C.square())
        cosine_C = torch.where(short_C, 0, (state_CE * target_CE).sum(1) / norms_C)
        kept_C = torch.where(short_C, 0, weight_I[chunk])
        factors[chunk, 0] = -kept_C / norms_C
        factors[chunk, 1] = kept_C * cosine_C / square_C
        loss += (weight_I[chunk] * (1 - cosine_C)).sum()
    inverse = reciprocal(weight_I.sum() if normalizer is None else normalizer, loss)
    return [torch.where(inverse == 0, 0, loss * inverse), factors, inverse]


def distance_backward(
    grad: Tensor,
    state_IE: Tensor,
    target_IE: Tensor,
    factors: Tensor,
    inverse: Tensor,
    metric: str,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the gradient of the states, `[I, E]` in their dtype or the one given."""
    dtype = factors.dtype
    scaled = factors * (grad.to(dtype) * inverse)
    d_state_IE = state_IE.new_empty(state_IE.shape, dtype=out_dtype or state_IE.dtype)
    for chunk in _chunks(state_IE.shape[0]):
        live_C1 = (factors[chunk] != 0).any(dim=1, keepdim=True)
        state_CE = torch.where(live_C1, state_IE[chunk], 0).to(dtype)
        target_CE = torch.where(live_C1, target_IE[chunk], 0).to(dtype)
        if metric == "cosine":
            d_state_IE[chunk] = scaled[chunk, :1] * target_CE + scaled[chunk, 1:] * state_CE
            continue
        slope_CE = state_CE - target_CE
        slope_CE = 2 * slope_CE if metric == "mse" else slope_CE.clamp_(-1, 1)
        d_state_IE[chunk] = slope_CE * (scaled[chunk] / state_IE.shape[1])
    return d_state_IE
