"""From token states to item states: every token, or one pooled state a segment.

A segment is a packed document; `cu_seqlens[s]` is the flat position of its first token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype

POOLINGS = ("token", "mean", "last")


def check_pooling(op: str, pooling: str, cu_seqlens: Tensor | None) -> None:
    """Refuse an unknown pooling, and segments given without need or needed but not given."""
    if pooling not in POOLINGS:
        raise ValueError(f"{op}: pooling is {pooling!r}; give one of {', '.join(POOLINGS)}")
    if (pooling == "token") != (cu_seqlens is None):
        raise ValueError(
            f"{op}: pooling={pooling!r} "
            + ("takes no cu_seqlens" if pooling == "token" else "needs cu_seqlens")
        )


def pool(
    hidden_ND: Tensor, *, select_N: Tensor | None, cu_seqlens: Tensor | None, pooling: str
) -> tuple[Tensor, Tensor]:
    """Pool token states into item states.

    Args:
        hidden_ND: States of all tokens.
        select_N: Bool, the tokens that count; None is all of them. A NaN elsewhere stays there,
            forward and backward.
        cu_seqlens: Int `[S+1]`, non-decreasing, last ≤ N; tokens past the last are ignored.
        pooling: `token`: the items are the tokens; `mean`: the mean of a segment's selected
            tokens; `last`: its last selected token.

    Returns:
        States `[I, D]` in the accumulation dtype, and bool `[I]`: whether any token of the item
        counts. The state of an item without one is zero.
    """
    n_tokens = hidden_ND.shape[0]
    device = hidden_ND.device
    if select_N is None:
        select_N = torch.ones(n_tokens, dtype=torch.bool, device=device)
    dtype = accumulation_dtype(hidden_ND.dtype)
    if cu_seqlens is None:
        return torch.where(select_N[:, None], hidden_ND, 0).to(dtype), select_N

    starts_S, ends_S = cu_seqlens[:-1].to(torch.int64), cu_seqlens[1:].to(torch.int64)
    positions_N = torch.arange(n_tokens, device=device)
    if pooling == "last":
        if n_tokens == 0:
            empty_SD = hidden_ND.new_zeros(starts_S.numel(), hidden_ND.shape[1], dtype=dtype)
            return empty_SD, torch.zeros_like(starts_S, dtype=torch.bool)
        # The last selected token up to each token; a segment's own if it is not before its start.
        latest_N = torch.where(select_N, positions_N, -1).cummax(0).values
        last_S = latest_N[(ends_S - 1).clamp(min=0)]
        valid_S = (last_S >= starts_S) & (ends_S > starts_S)
        return torch.where(valid_S[:, None], hidden_ND[last_S], 0).to(dtype), valid_S

    # An empty segment shares its start with the next one; right=True gives the token to the last
    # of them, which is the one that is not empty. Tokens that belong to none go to one more
    # segment, cut off below, so that no shape depends on data.
    n_segments = starts_S.numel()
    segment_N = torch.searchsorted(cu_seqlens.to(torch.int64), positions_N, right=True) - 1
    inside_N = select_N & (segment_N >= 0) & (segment_N < n_segments)
    segment_N = torch.where(inside_N, segment_N, n_segments)
    count_S = torch.zeros(n_segments + 1, dtype=torch.int64, device=device)
    count_S = count_S.index_add(0, segment_N, torch.ones_like(segment_N))[:-1]
    kept_ND = torch.where(inside_N[:, None], hidden_ND, 0).to(dtype)
    sum_SD = hidden_ND.new_zeros(n_segments + 1, hidden_ND.shape[1], dtype=dtype)
    sum_SD = sum_SD.index_add(0, segment_N, kept_ND)[:-1]
    return sum_SD / count_S.clamp(min=1)[:, None].to(dtype), count_S > 0
