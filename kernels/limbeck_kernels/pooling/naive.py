"""The definition of pooling, and the checks of its arguments: (1) and (2) of README.md."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


def segment_of_tokens(select_N: Tensor | None, cu_seqlens: Tensor, n_tokens: int) -> Tensor:
    """Return the segment of each token that counts, and S for one that does not.

    An empty segment shares its start with the next one; right=True gives the token to the last of
    them, which is the one that is not empty. No shape depends on data.
    """
    n_segments = cu_seqlens.numel() - 1
    positions_N = torch.arange(n_tokens, device=cu_seqlens.device)
    segment_N = torch.searchsorted(cu_seqlens.to(torch.int64), positions_N, right=True) - 1
    inside_N = (segment_N >= 0) & (segment_N < n_segments)
    if select_N is not None:
        inside_N = inside_N & select_N
    return torch.where(inside_N, segment_N, n_segments)


def last_selected(select_N: Tensor | None, cu_seqlens: Tensor, n_tokens: int) -> Tensor:
    """Return the position of each segment's last selected token, −1 where there is none."""
    starts_S, ends_S = cu_seqlens[:-1].to(torch.int64), cu_seqlens[1:].to(torch.int64)
    if n_tokens == 0:
        return torch.full_like(starts_S, -1)
    # The last selected token up to each token; a segment's own if it is not before its start.
    latest_N = torch.arange(n_tokens, device=cu_seqlens.device)
    if select_N is not None:
        latest_N = torch.where(select_N, latest_N, -1).cummax(0).values
    last_S = latest_N[(ends_S - 1).clamp(min=0)]
    return torch.where((last_S >= starts_S) & (ends_S > starts_S), last_S, -1)


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
    dtype = accumulation_dtype(hidden_ND.dtype)
    if cu_seqlens is None:
        if select_N is None:
            select_N = torch.ones(n_tokens, dtype=torch.bool, device=device)
        return torch.where(select_N[:, None], hidden_ND, 0).to(dtype), select_N

    n_segments = cu_seqlens.numel() - 1
    if pooling == "last":
        last_S = last_selected(select_N, cu_seqlens, n_tokens)
        valid_S = last_S >= 0
        if n_tokens == 0:
            # One row of zeros, so that the graph of the states stays attached.
            return F.pad(hidden_ND, (0, 0, 0, 1)).to(dtype).expand(n_segments, -1), valid_S
        return torch.where(valid_S[:, None], hidden_ND[last_S], 0).to(dtype), valid_S

    segment_N = segment_of_tokens(select_N, cu_seqlens, n_tokens)
    count_S = torch.zeros(n_segments + 1, dtype=torch.int64, device=device)
    count_S = count_S.index_add(0, segment_N, torch.ones_like(segment_N))[:-1]
    kept_ND = torch.where((segment_N < n_segments)[:, None], hidden_ND, 0).to(dtype)
    sum_SD = hidden_ND.new_zeros(n_segments + 1, hidden_ND.shape[1], dtype=dtype)
    sum_SD = sum_SD.index_add(0, segment_N, kept_ND)[:-1]
    return sum_SD / count_S.clamp(min=1)[:, None].to(dtype), count_S > 0
