"""Backward of the row-wise domain loss in Triton: equations (6)–(8) of README.md.

One pass over the hidden states writes dH and one partial dW a slab of rows; a second kernel adds
the slabs in a fixed order, so nothing is atomic and two runs agree to the bit.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.domain.tiles import BACKWARD_PROGRAMS, MINIMAL_SLAB_ROWS, backward_tile
from limbeck_kernels.launch import cdiv, rows_contiguous, upcast_dot

REDUCE_BLOCK = 256
# fp16 has no exponents to spare: a tile's gradients are scaled so that the largest is 2^14, which
# leaves the small ones of the same tile all their digits in the high and low halves.
FP16_TOP = tl.constexpr(16384.0)


@triton.jit(do_not_specialize=["n_rows", "n_domains", "rows_per_slab"])
def rows_backward_kernel(  # noqa: PLR0915 — one pass serves both gradients
    p_grad,  # 0-d, gradient of the loss
    p_inverse,  # 0-d, 1/Z
    p_strength,  # 0-d, λ
    p_hidden,  # [N, D], rows stride_n apart
    p_weight,  # [K, D]
    p_gradient,  # [N, KP] fp32
    p_row_weight,  # [N] fp32
    p_d_hidden,  # out [N, D], or None: the weight alone
    p_partial,  # out [slabs, stride_slab] fp32: K·D of the weight, then K of the bias
    n_rows,
    width,
    n_domains,
    rows_per_slab,
    stride_n,
    stride_slab,
    KP: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """One program: BD columns of one slab of rows. Rows that do not count are never read."""
    i_d, i_slab = tl.program_id(0), tl.program_id(1).to(tl.int64)
    o_d = i_d * BD + tl.arange(0, BD)
    o_k = tl.arange(0, KP)
    m_d = o_d < width
    m_k = o_k < n_domains
    scale = tl.load(p_grad).to(tl.float32) * tl.load(p_inverse)
    reversal = -tl.load(p_strength).to(tl.float32) * scale
    dtype = p_hidden.dtype.element_ty
    if p_d_hidden is not None:
        # [KP, BD]
        b_weight = tl.load(
            p_weight + o_k[:, None] * width + o_d[None, :],
            mask=m_k[:, None] & m_d[None, :],
            other=0.0,
        ).to(dtype)
        if UPCAST:
            b_weight = b_weight.to(tl.float32)

    b_d_weight = tl.zeros([KP, BD], dtype=tl.float32)
    b_d_bias = tl.zeros([KP], dtype=tl.float32)
    start = i_slab * rows_per_slab
    for i_n in range(0, tl.cdiv(rows_per_slab, BN)):
        o_n = start + i_n * BN + tl.arange(0, BN)
        m_n = (o_n < n_rows) & (o_n < start + rows_per_slab)
        m_live = tl.load(p_row_weight + o_n, mask=m_n, other=0.0) != 0.0
        # [BN, BD]
        b_hidden = tl.load(
            p_hidden + o_n[:, None] * stride_n + o_d[None, :],
            mask=m_live[:, None] & m_d[None, :],
            other=0.0,
        )
        # [BN, KP]
        b_gradient = tl.load(
            p_gradient + o_n[:, None] * KP + o_k[None, :], mask=m_live[:, None], other=0.0
        )
        b_d_bias += tl.sum(b_gradient, axis=0)
        b_unscale = 1.0
        if dtype == tl.float16:
            b_largest = tl.max(tl.max(tl.abs(b_gradient), axis=1), axis=0)
            b_largest = tl.maximum(b_largest, 1e-30)  # the quotient below stays finite
            b_gradient = b_gradient * (FP16_TOP / b_largest)
            b_unscale = b_largest / FP16_TOP
        # g = high + low, each in the working dtype: the products run on the matrix units and lose
        # nothing to the rounding of g, which is the same in every row near equilibrium.
        b_high = b_gradient.to(dtype)
        b_low = (b_gradient - b_high.to(tl.float32)).to(dtype)
        if UPCAST:
            b_high = b_high.to(tl.float32)
            b_low = b_low.to(tl.float32)
            b_hidden = b_hidden.to(tl.float32)
        if p_d_hidden is not None:  # equation (6)
            if dtype == tl.float32:
                b_d_hidden = tl.dot(b_high, b_weight, input_precision="ieee")
            else:
                b_d_hidden = tl.dot(b_low, b_weight, input_precision="ieee")
                b_d_hidden = tl.dot(b_high, b_weight, b_d_hidden, input_precision="ieee")
            tl.store(
                p_d_hidden + o_n[:, None] * width + o_d[None, :],
                (b_d_hidden * (b_unscale * reversal)).to(dtype),
                mask=m_n[:, None] & m_d[None, :],
            )
        if dtype == tl.float32:
            b_d_tile = tl.dot(tl.trans(b_high), b_hidden, input_precision="ieee")
        else:
            b_d_tile = tl.dot(tl.trans(b_low), b_hidden, input_precision="ieee")
            b_d_tile = tl.dot(tl.trans(b_high), b_hidden, b_d_tile, input_precision="ieee")
        b_d_weight += b_d_tile * b_unscale  # equation (7), without the scalars

    p_slab = p_partial + i_slab * stride_slab
    tl.store(
        p_slab + o_k[:, None] * width + o_d[None, :],
        b_d_weight,
        mask=m_k[:, None] & m_d[None, :],
    )
    if i_d == 0:
        tl.store(p_slab + n_domains * width + o_k, b_d_bias, mask=m_k)


@triton.jit(do_not_specialize=["n_slabs"])
def reduce_slabs_kernel(
    p_grad,  # 0-d
    p_inverse,  # 0-d
    p_partial,  # [slabs, stride_slab] fp32
    p_d_weight,  # out [K·D]
    p_d_bias,  # out [K] or None
    n_slabs,
    n_weight,
    n_bias,
    stride_slab,
    BLOCK: tl.constexpr,
):
    """One program adds BLOCK parameters over the slabs, first to last: equations (7) and (8)."""
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = o < n_weight + n_bias
    b_sum = tl.zeros([BLOCK], dtype=tl.float32)
    p_slab = p_partial + o
    for _ in range(0, n_slabs):
        b_sum += tl.load(p_slab, mask=m, other=0.0)
        p_slab += stride_slab
    b_sum *= tl.load(p_grad).to(tl.float32) * tl.load(p_inverse)
    m_weight = o < n_weight
    tl.store(p_d_weight + o, b_sum.to(p_d_weight.dtype.element_ty), mask=m_weight)
    if p_d_bias is not None:
        p_bias = p_d_bias + (o - n_weight)
        tl.store(p_bias, b_sum.to(p_d_bias.dtype.element_ty), mask=m & (o >= n_weight))


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
    """Launch the backward.

    Args:
        grad: 0-d, the gradient that arrives at the loss.
        hidden_ND: The states.
        weight_KD: The classifier.
        bias_K: Its bias or None.
        gradient_NK: What the forward returned.
        row_weight_N: What the forward returned.
        inverse: What the forward returned.
        strength: 0-d, λ.
        states: Whether the gradient of the states is wanted; someone else may write it.

    Returns:
        Gradients of hidden, weight and bias, each in the dtype of its tensor; the first is empty
        where it is not wanted, the last where there is no bias.
    """
    hidden_ND = rows_contiguous(hidden_ND)
    n_rows, width = hidden_ND.shape
    n_domains, padded = weight_KD.shape[0], gradient_NK.shape[1]
    tile = backward_tile(hidden_ND.dtype, padded)
    column_tiles = cdiv(width, tile.columns)
    row_blocks = cdiv(n_rows, tile.rows)
    slabs = min(cdiv(n_rows, MINIMAL_SLAB_ROWS), cdiv(BACKWARD_PROGRAMS, max(column_tiles, 1)))
    rows_per_slab = cdiv(row_blocks, slabs) * tile.rows if slabs else 0
    slabs = cdiv(n_rows, rows_per_slab) if slabs else 0
    n_weight = n_domains * width
    stride_slab = cdiv(n_weight + n_domains, 16) * 16  # every slab begins aligned

    d_hidden_ND = hidden_ND.new_empty((n_rows, width) if states else 0)
    d_weight_KD = torch.empty_like(weight_KD, memory_format=torch.contiguous_format)
    d_bias_K = weight_KD.new_empty(0) if bias_K is None else torch.empty_like(bias_K)
    partial = torch.empty(slabs, stride_slab, dtype=torch.float32, device=hidden_ND.device)
    if slabs and column_tiles:
        rows_backward_kernel[(column_tiles, slabs)](
            grad,
            inverse,
            strength,
            hidden_ND,
            weight_KD.contiguous(),
            gradient_NK,
            row_weight_N,
            d_hidden_ND if states else None,
            partial,
            n_rows,
            width,
            n_domains,
            rows_per_slab,
            hidden_ND.stride(0),
            stride_slab,
            KP=padded,
            BN=tile.rows,
            BD=tile.columns,
            UPCAST=upcast_dot(hidden_ND.dtype),
            num_warps=tile.warps,
            num_stages=tile.stages,
        )
    reduce_slabs_kernel[(cdiv(n_weight + n_domains, REDUCE_BLOCK),)](
        grad,
        inverse,
        partial,
        d_weight_KD,
        None if bias_K is None else d_bias_K,
        slabs,
        n_weight,
        n_domains,
        stride_slab,
        BLOCK=REDUCE_BLOCK,
        num_warps=4,
    )
    return [d_hidden_ND, d_weight_KD, d_bias_K]
