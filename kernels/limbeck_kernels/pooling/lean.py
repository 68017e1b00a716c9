"""Pooling in plain PyTorch, in chunks of tokens, so that no fp32 copy of the states is made."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype
from limbeck_kernels.pooling.naive import last_selected, segment_of_tokens

CHUNK_ROWS = 4096


def pool_forward(
    hidden_ND: Tensor, select_N: Tensor | None, cu_seqlens: Tensor, pooling: str
) -> list[Tensor]:
    """Return pooled states `[S, D]`, int64 `[S]` (count or position) and bool `[S]`."""
    n_tokens, width = hidden_ND.shape
    n_segments = cu_seqlens.numel() - 1
    dtype = accumulation_dtype(hidden_ND.dtype)
    if pooling == "last":
        where_S = last_selected(select_N, cu_seqlens, n_tokens)
        valid_S = where_S >= 0
        if n_tokens == 0:
            return [hidden_ND.new_zeros(n_segments, width, dtype=dtype), where_S, valid_S]
        rows_SD = hidden_ND[where_S.clamp(min=0)].to(dtype)
        return [torch.where(valid_S[:, None], rows_SD, 0), where_S, valid_S]

    segment_N = segment_of_tokens(select_N, cu_seqlens, n_tokens)
    count_S = torch.zeros(n_segments + 1, dtype=torch.int64, device=hidden_ND.device)
    count_S = count_S.index_add(0, segment_N, torch.ones_like(segment_N))[:-1]
    sum_SD = hidden_ND.new_zeros(n_segments + 1, width, dtype=dtype)
    for start in range(0, n_tokens, CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        inside_C = segment_N[chunk] < n_segments
        kept_CD = torch.where(inside_C[:, None], hidden_ND[chunk], 0).to(dtype)
        sum_SD.index_add_(0, segment_N[chunk], kept_CD)
    return [sum_SD[:-1] / count_S.clamp(min=1)[:, None].to(dtype), count_S, count_S > 0]


def pool_backward(
    grad_SD: Tensor,
    where_S: Tensor,
    select_N: Tensor | None,
    cu_seqlens: Tensor,
    n_tokens: int,
    dtype: torch.dtype,
    pooling: str,
) -> Tensor:
    """Return the gradient of the token states, `[N, D]` in `dtype`."""
    width = grad_SD.shape[1]
    if pooling == "last":
        d_hidden_ND = grad_SD.new_zeros(n_tokens, width, dtype=dtype)
        if n_tokens == 0:
            return d_hidden_ND
        # No two segments share a token; those without one add a zero to the first.
        kept_SD = torch.where((where_S >= 0)[:, None], grad_SD, 0).to(dtype)
        return d_hidden_ND.index_add_(0, where_S.clamp(min=0), kept_SD)
    segment_N = segment_of_tokens(select_N, cu_seqlens, n_tokens)
    share_SD = grad_SD / where_S.clamp(min=1)[:, None].to(grad_SD.dtype)
    share_SD = torch.cat([share_SD, share_SD.new_zeros(1, width)]).to(dtype)
    return share_SD[segment_N]
