"""Backward of the row-wise distance in Triton, one stream: equation (7) of README.md."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.alignment.forward import CODES, COLUMNS, COSINE, MSE, ROWS
from limbeck_kernels.launch import cdiv, rows_contiguous


@triton.jit(do_not_specialize=["n_items"])
def distance_backward_kernel(
    p_grad,  # 0-d, gradient of the loss
    p_inverse,  # 0-d, 1/Z
    p_state,  # [I, E], rows stride_state apart
    p_target,  # [I, E], rows stride_target apart
    p_factors,  # [I, FACTORS] fp32
    p_d_state,  # out [I, E]
    n_items,
    width,
    stride_state,
    stride_target,
    METRIC: tl.constexpr,
    BI: tl.constexpr,
    BE: tl.constexpr,
):
    """One program: BI items, all of E. Items without a gradient are written, never read."""
    o_i = tl.program_id(0).to(tl.int64) * BI + tl.arange(0, BI)
    m_i = o_i < n_items
    scale = tl.load(p_grad).to(tl.float32) * tl.load(p_inverse)
    if METRIC == COSINE:
        b_first = tl.load(p_factors + o_i * 2, mask=m_i, other=0.0)
        b_second = tl.load(p_factors + o_i * 2 + 1, mask=m_i, other=0.0)
        m_live = (b_first != 0.0) | (b_second != 0.0)
        b_second *= scale
    else:
        b_first = tl.load(p_factors + o_i, mask=m_i, other=0.0) / width
        m_live = b_first != 0.0
    b_first *= scale
    for i_e in range(0, tl.cdiv(width, BE)):
        o_e = i_e * BE + tl.arange(0, BE)
        m_e = (o_e < width)[None, :]
        # [BI, BE]
        b_state = tl.load(
            p_state + o_i[:, None] * stride_state + o_e[None, :],
            mask=m_live[:, None] & m_e,
            other=0.0,
        ).to(tl.float32)
        b_target = tl.load(
            p_target + o_i[:, None] * stride_target + o_e[None, :],
            mask=m_live[:, None] & m_e,
            other=0.0,
        ).to(tl.float32)
        if METRIC == COSINE:
            b_d_state = b_first[:, None] * b_target + b_second[:, None] * b_state
        elif METRIC == MSE:
            b_d_state = (2.0 * b_first)[:, None] * (b_state - b_target)
        else:
            b_slope = tl.minimum(tl.maximum(b_state - b_target, -1.0), 1.0)
            b_d_state = b_first[:, None] * b_slope
        b_d_state = tl.where(m_live[:, None], b_d_state, 0.0)
        tl.store(
            p_d_state + o_i[:, None] * width + o_e[None, :],
            b_d_state.to(p_d_state.dtype.element_ty),
            mask=m_i[:, None] & m_e,
        )


def distance_backward(
    grad: Tensor,
    state_IE: Tensor,
    target_IE: Tensor,
    factors: Tensor,
    inverse: Tensor,
    metric: str,
) -> Tensor:
    """Return the gradient of the states, `[I, E]` in their dtype."""
    state_IE, target_IE = rows_contiguous(state_IE), rows_contiguous(target_IE)
    n_items, width = state_IE.shape
    d_state_IE = torch.empty_like(state_IE, memory_format=torch.contiguous_format)
    if n_items:
        distance_backward_kernel[(cdiv(n_items, ROWS),)](
            grad,
            inverse,
            state_IE,
            target_IE,
            factors,
            d_state_IE,
            n_items,
            width,
            state_IE.stride(0),
            target_IE.stride(0),
            METRIC=CODES[metric],
            BI=ROWS,
            BE=COLUMNS,
            num_warps=4,
        )
    return d_state_IE
