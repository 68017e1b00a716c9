"""Backward of pooling in Triton, one broadcast write: equation (3) of README.md."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.device import search_steps, segment_of
from limbeck_kernels.launch import cdiv

ROWS = 32
COLUMNS = 128


@triton.jit(do_not_specialize=["n_tokens", "n_segments", "n_steps"])
def spread_kernel(
    p_grad,  # [S, D] fp32
    p_where,  # [S] int64
    p_select,  # [N] or None
    p_cu_seqlens,  # [S + 1]
    p_d_hidden,  # out [N, D]
    n_tokens,
    width,
    n_segments,
    n_steps,
    LAST: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """One program: BN tokens, all of D."""
    o_n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    m_n = o_n < n_tokens
    b_segment = segment_of(o_n, p_cu_seqlens, n_segments, n_steps)
    m_live = m_n & (b_segment >= 0) & (b_segment < n_segments)
    if p_select is not None:
        m_live = m_live & (tl.load(p_select + o_n, mask=m_live, other=0) != 0)
    b_where = tl.load(p_where + b_segment, mask=m_live, other=-1)
    if LAST:
        m_live = m_live & (b_where == o_n)
        b_share = tl.full([BN], 1.0, tl.float32)
    else:
        b_share = 1.0 / tl.maximum(b_where, 1).to(tl.float32)
    for i_d in range(0, tl.cdiv(width, BD)):
        o_d = i_d * BD + tl.arange(0, BD)
        m_d = o_d < width
        # [BN, BD]
        b_grad = tl.load(
            p_grad + b_segment[:, None] * width + o_d[None, :],
            mask=m_live[:, None] & m_d[None, :],
            other=0.0,
        )
        tl.store(
            p_d_hidden + o_n[:, None] * width + o_d[None, :],
            (b_grad * b_share[:, None]).to(p_d_hidden.dtype.element_ty),
            mask=m_n[:, None] & m_d[None, :],
        )


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
    n_segments, width = grad_SD.shape
    d_hidden_ND = torch.empty(n_tokens, width, dtype=dtype, device=grad_SD.device)
    if n_tokens:
        spread_kernel[(cdiv(n_tokens, ROWS),)](
            grad_SD.contiguous(), where_S, None if select_N is None else select_N.contiguous(),
            cu_seqlens.contiguous(), d_hidden_ND, n_tokens, width, n_segments,
            search_steps(n_segments), LAST=pooling == "last", BN=ROWS, BD=COLUMNS, num_warps=4,
        )  # fmt: skip
    return d_hidden_ND
