"""The one write of the states' gradient in Triton: equation (2) of README.md."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.alignment.forward import CODES, COSINE, MSE
from limbeck_kernels.domain.backward import FP16_TOP
from limbeck_kernels.domain.tiles import states_tile
from limbeck_kernels.head.op import MAX_GATHERED
from limbeck_kernels.head.parts import Gathered, Parts
from limbeck_kernels.launch import cdiv, rows_contiguous, upcast_dot


@triton.jit
def gathered(p_values, p_index, p_share, o_n, m_n, o_d, m_d, width):
    """Return `share · values[index]` for a tile, fp32; nothing where the index is −1."""
    b_index = o_n
    if p_index is not None:
        b_index = tl.load(p_index + o_n, mask=m_n, other=-1).to(tl.int64)
    m_live = m_n & (b_index >= 0)
    b_rows = tl.load(
        p_values + b_index[:, None] * width + o_d[None, :],
        mask=m_live[:, None] & m_d[None, :],
        other=0.0,
    ).to(tl.float32)
    if p_share is not None:
        b_rows *= tl.load(p_share + o_n, mask=m_live, other=0.0)[:, None]
    return b_rows


@triton.jit(do_not_specialize=["n_rows", "n_domains"])
def states_backward_kernel(  # noqa: PLR0912, PLR0915 — one store, every part before it
    p_d_hidden,  # out [N, D]
    p_values0,  # [M, D] or None; with p_index0 [N] or None, p_share0 [N] fp32 or None
    p_index0,
    p_share0,
    p_values1,
    p_index1,
    p_share1,
    p_values2,
    p_index2,
    p_share2,
    p_grad_a,  # 0-d: of the distance; p_factors None where there is no distance
    p_inverse_a,
    p_state,  # [N, D], rows stride_state apart
    p_target,  # [N, D], rows stride_target apart
    p_factors,  # [N, 2] for the cosine, else [N, 1]
    p_grad_d,  # 0-d: of the domain loss; p_gradient None where there is none
    p_inverse_d,
    p_strength,
    p_weight,  # [K, D]
    p_gradient,  # [N, KP]
    p_row_weight,  # [N]
    n_rows,
    width,
    n_domains,
    stride_state,
    stride_target,
    METRIC: tl.constexpr,
    KP: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """One program: one tile, its parts added in a fixed order and stored once."""
    o_n = tl.program_id(1).to(tl.int64) * BN + tl.arange(0, BN)
    o_d = tl.program_id(0) * BD + tl.arange(0, BD)
    m_n = o_n < n_rows
    m_d = o_d < width
    dtype = p_d_hidden.dtype.element_ty
    # [BN, BD]
    b_sum = tl.zeros([BN, BD], dtype=tl.float32)
    if p_values0 is not None:
        b_sum += gathered(p_values0, p_index0, p_share0, o_n, m_n, o_d, m_d, width)
    if p_values1 is not None:
        b_sum += gathered(p_values1, p_index1, p_share1, o_n, m_n, o_d, m_d, width)
    if p_values2 is not None:
        b_sum += gathered(p_values2, p_index2, p_share2, o_n, m_n, o_d, m_d, width)

    if p_factors is not None:
        scale = tl.load(p_grad_a).to(tl.float32) * tl.load(p_inverse_a)
        if METRIC == COSINE:
            b_first = tl.load(p_factors + o_n * 2, mask=m_n, other=0.0)
            b_second = tl.load(p_factors + o_n * 2 + 1, mask=m_n, other=0.0)
            m_live = (b_first != 0.0) | (b_second != 0.0)
        else:
            b_first = tl.load(p_factors + o_n, mask=m_n, other=0.0)
            b_second = b_first
            m_live = b_first != 0.0
        m_tile = m_live[:, None] & m_d[None, :]
        b_state = tl.load(
            p_state + o_n[:, None] * stride_state + o_d[None, :], mask=m_tile, other=0.0
        ).to(tl.float32)
        b_target = tl.load(
            p_target + o_n[:, None] * stride_target + o_d[None, :], mask=m_tile, other=0.0
        ).to(tl.float32)
        if METRIC == COSINE:
            b_part = b_first[:, None] * b_target + b_second[:, None] * b_state
        elif METRIC == MSE:
            b_part = (2.0 / width * b_first)[:, None] * (b_state - b_target)
        else:
            b_slope = tl.minimum(tl.maximum(b_state - b_target, -1.0), 1.0)
            b_part = (b_first / width)[:, None] * b_slope
        b_sum += tl.where(m_live[:, None], scale * b_part, 0.0)

    if p_gradient is not None:
        reversal = -tl.load(p_strength).to(tl.float32) * tl.load(p_grad_d).to(tl.float32)
        reversal *= tl.load(p_inverse_d)
        o_k = tl.arange(0, KP)
        m_live = tl.load(p_row_weight + o_n, mask=m_n, other=0.0) != 0.0
        # [BN, KP]
        b_gradient = tl.load(
            p_gradient + o_n[:, None] * KP + o_k[None, :], mask=m_live[:, None], other=0.0
        )
        # [KP, BD]
        b_weight = tl.load(
            p_weight + o_k[:, None] * width + o_d[None, :],
            mask=(o_k < n_domains)[:, None] & m_d[None, :],
            other=0.0,
        ).to(dtype)
        if dtype == tl.float16:  # as in the domain's own backward
            b_largest = tl.maximum(tl.max(tl.max(tl.abs(b_gradient), axis=1), axis=0), 1e-30)
            b_gradient = b_gradient * (FP16_TOP / b_largest)
            reversal *= b_largest / FP16_TOP
        b_high = b_gradient.to(dtype)
        b_low = (b_gradient - b_high.to(tl.float32)).to(dtype)
        if UPCAST:
            b_high = b_high.to(tl.float32)
            b_low = b_low.to(tl.float32)
            b_weight = b_weight.to(tl.float32)
        b_part = tl.dot(b_high, b_weight, input_precision="ieee")
        if dtype != tl.float32:
            b_part = tl.dot(b_low, b_weight, b_part, input_precision="ieee")
        b_sum += reversal * b_part

    tl.store(
        p_d_hidden + o_n[:, None] * width + o_d[None, :],
        b_sum.to(dtype),
        mask=m_n[:, None] & m_d[None, :],
    )


def states_backward(hidden_ND: Tensor, parts: Parts) -> Tensor:
    """Launch the write of the states' gradient, `[N, D]` in their dtype."""
    hidden_ND = rows_contiguous(hidden_ND)
    n_rows, width = hidden_ND.shape
    d_hidden_ND = hidden_ND.new_empty(n_rows, width)
    if n_rows == 0 or width == 0:
        return d_hidden_ND
    gathers: list[Tensor | None] = []
    for part in (*parts.gathered, *(None,) * (MAX_GATHERED - len(parts.gathered))):
        if isinstance(part, Gathered):
            gathers += [part.values_MD.contiguous(), part.index_N, part.share_N]
        else:
            gathers += [None, None, None]
    distance, logits = parts.distance, parts.logits
    target_ND = None if distance is None else rows_contiguous(distance.target_ND)
    padded = 16 if logits is None else logits.gradient_NK.shape[1]
    tile = states_tile(hidden_ND.dtype, padded)
    states_backward_kernel[(cdiv(width, tile.columns), cdiv(n_rows, tile.rows))](
        d_hidden_ND,
        *gathers,
        None if distance is None else distance.grad,
        None if distance is None else distance.inverse,
        None if distance is None else hidden_ND,
        target_ND,
        None if distance is None else distance.factors,
        None if logits is None else logits.grad,
        None if logits is None else logits.inverse,
        None if logits is None else logits.strength,
        None if logits is None else logits.weight_KD.contiguous(),
        None if logits is None else logits.gradient_NK,
        None if logits is None else logits.row_weight_N,
        n_rows,
        width,
        0 if logits is None else logits.weight_KD.shape[0],
        hidden_ND.stride(0),
        0 if target_ND is None else target_ND.stride(0),
        METRIC=CODES["cosine" if distance is None else distance.metric],
        KP=padded,
        BN=tile.rows,
        BD=tile.columns,
        UPCAST=upcast_dot(hidden_ND.dtype),
        num_warps=tile.warps,
    )
    return d_hidden_ND
