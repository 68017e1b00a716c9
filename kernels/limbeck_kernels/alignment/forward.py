"""Forward of the row-wise distance in Triton: equations (3)–(6) of README.md.

I items, E width. Two numbers an item are kept for the backward (one for mse and smooth-L1), none
of the size of the states.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.alignment.naive import MINIMAL_NORM
from limbeck_kernels.device import finish
from limbeck_kernels.launch import cdiv, rows_contiguous

COSINE, MSE, SMOOTH_L1 = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
CODES = {"cosine": 0, "mse": 1, "smooth_l1": 2}
ROWS = 8
COLUMNS = 256
MINIMAL_SQUARE = tl.constexpr(MINIMAL_NORM**2)


@triton.jit(do_not_specialize=["n_items"])
def distance_kernel(
    p_state,  # [I, E], rows stride_state apart
    p_target,  # [I, E], rows stride_target apart
    p_weights,  # [I] or None
    p_valid,  # [I] or None
    p_factors,  # out [I, FACTORS] fp32
    p_loss,  # out [programs] fp32
    p_mass,  # out [programs] fp32
    n_items,
    width,
    stride_state,
    stride_target,
    METRIC: tl.constexpr,
    BI: tl.constexpr,
    BE: tl.constexpr,
):
    """One program: BI items, all of E. Items that do not count are never read."""
    i_program = tl.program_id(0)
    o_i = i_program.to(tl.int64) * BI + tl.arange(0, BI)
    m_i = o_i < n_items
    m_live = m_i
    if p_valid is not None:
        m_live = m_live & (tl.load(p_valid + o_i, mask=m_i, other=0) != 0)
    b_weight = tl.full([BI], 1.0, tl.float32)
    if p_weights is not None:
        b_weight = tl.load(p_weights + o_i, mask=m_live, other=0.0).to(tl.float32)
    b_weight = tl.where(m_live, b_weight, 0.0)
    m_live = b_weight != 0.0

    # [BI, BE]
    b_first = tl.zeros([BI, BE], dtype=tl.float32)  # a·t, or the distance
    b_second = tl.zeros([BI, BE], dtype=tl.float32)  # a·a
    b_third = tl.zeros([BI, BE], dtype=tl.float32)  # t·t
    for i_e in range(0, tl.cdiv(width, BE)):
        o_e = i_e * BE + tl.arange(0, BE)
        m_tile = m_live[:, None] & (o_e < width)[None, :]
        b_state = tl.load(
            p_state + o_i[:, None] * stride_state + o_e[None, :], mask=m_tile, other=0.0
        ).to(tl.float32)
        b_target = tl.load(
            p_target + o_i[:, None] * stride_target + o_e[None, :], mask=m_tile, other=0.0
        ).to(tl.float32)
        if METRIC == COSINE:
            b_first += b_state * b_target
            b_second += b_state * b_state
            b_third += b_target * b_target
        else:
            b_gap = b_state - b_target
            if METRIC == MSE:
                b_first += b_gap * b_gap
            else:
                b_size = tl.abs(b_gap)
                b_first += tl.where(b_size < 1.0, 0.5 * b_gap * b_gap, b_size - 0.5)

    if METRIC == COSINE:
        b_dot, b_aa, b_tt = tl.sum(b_first, 1), tl.sum(b_second, 1), tl.sum(b_third, 1)
        # NaN is not short: it must reach the loss.
        m_short = (b_aa < MINIMAL_SQUARE) | (b_tt < MINIMAL_SQUARE)
        b_aa = tl.where(m_short, 1.0, b_aa)
        b_norms = tl.sqrt(b_aa) * tl.sqrt(tl.where(m_short, 1.0, b_tt))
        b_cosine = tl.where(m_short, 0.0, b_dot / b_norms)
        b_distance = 1.0 - b_cosine
        # Equation (7) is −w/(‖a‖‖t‖)·t + w·cos/‖a‖²·a; these are its two coefficients.
        b_on_target = tl.where(m_short | (b_weight == 0.0), 0.0, -b_weight / b_norms)
        b_on_state = tl.where(m_short | (b_weight == 0.0), 0.0, b_weight * b_cosine / b_aa)
        tl.store(p_factors + o_i * 2, b_on_target, mask=m_i)
        tl.store(p_factors + o_i * 2 + 1, b_on_state, mask=m_i)
    else:
        b_distance = tl.sum(b_first, 1) / width
        tl.store(p_factors + o_i, b_weight, mask=m_i)
    b_loss = tl.where(m_live, b_weight * b_distance, 0.0)
    tl.store(p_loss + i_program, tl.sum(b_loss, axis=0))
    tl.store(p_mass + i_program, tl.sum(b_weight, axis=0))


def distance_forward(
    state_IE: Tensor,
    target_IE: Tensor,
    weights_I: Tensor | None,
    valid_I: Tensor | None,
    normalizer: Tensor | None,
    metric: str,
) -> list[Tensor]:
    """Launch the forward.

    Returns:
        The 0-d loss; the factors of the backward, fp32 `[I, 2]` (cosine) or `[I, 1]`; 1/Z, 0-d.
    """
    state_IE, target_IE = rows_contiguous(state_IE), rows_contiguous(target_IE)
    n_items, width = state_IE.shape
    programs = cdiv(n_items, ROWS)
    empty = partial(torch.empty, dtype=torch.float32, device=state_IE.device)
    factors = empty(n_items, 2 if metric == "cosine" else 1)
    partial_loss, partial_mass = empty(programs), empty(programs)
    if programs:
        distance_kernel[(programs,)](
            state_IE,
            target_IE,
            None if weights_I is None else weights_I.contiguous(),
            None if valid_I is None else valid_I.contiguous(),
            factors,
            partial_loss,
            partial_mass,
            n_items,
            width,
            state_IE.stride(0),
            target_IE.stride(0),
            METRIC=CODES[metric],
            BI=ROWS,
            BE=COLUMNS,
            num_warps=4,
        )
    loss, inverse = finish(partial_loss, partial_mass, normalizer)
    return [loss, factors, inverse]
