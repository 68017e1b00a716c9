"""Forward of the row-wise domain loss in Triton: equations (1)–(5) of README.md.

N rows, D width, K domains, KP = K padded to 16 or 64, S segments.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.device import finish, search_steps, segment_of
from limbeck_kernels.domain.tiles import forward_tile, padded_domains
from limbeck_kernels.launch import cdiv, rows_contiguous, upcast_dot

IGNORED = tl.constexpr(-100)


@triton.jit(do_not_specialize=["n_rows", "n_domains", "n_segments", "n_steps"])
def rows_forward_kernel(
    p_hidden,  # [N, D], rows stride_n apart
    p_weight,  # [K, D]
    p_bias,  # [K] or None
    p_domains,  # [N], or [S] where p_cu_seqlens is given
    p_weights,  # [N] or None
    p_select,  # [N] or None
    p_cu_seqlens,  # [S + 1] or None
    p_gradient,  # out [N, KP] fp32
    p_row_weight,  # out [N] fp32
    p_loss,  # out [programs] fp32
    p_mass,  # out [programs] fp32
    n_rows,
    width,
    n_domains,
    n_segments,
    n_steps,
    stride_n,
    KP: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """One program: BN rows, all of D. Rows that do not count are never read."""
    i_n = tl.program_id(0)
    o_n = i_n.to(tl.int64) * BN + tl.arange(0, BN)
    o_k = tl.arange(0, KP)
    m_n = o_n < n_rows
    m_k = o_k < n_domains

    # Effective weights, equation (1). [BN]
    m_live = m_n
    if p_select is not None:
        m_live = m_live & (tl.load(p_select + o_n, mask=m_n, other=0) != 0)
    if p_cu_seqlens is None:
        b_domain = tl.load(p_domains + o_n, mask=m_live, other=IGNORED)
    else:
        b_segment = segment_of(o_n, p_cu_seqlens, n_segments, n_steps)
        m_live = m_live & (b_segment >= 0) & (b_segment < n_segments)
        b_domain = tl.load(p_domains + b_segment, mask=m_live, other=IGNORED)
    m_live = m_live & (b_domain != IGNORED)
    b_weight_n = tl.full([BN], 1.0, tl.float32)
    if p_weights is not None:
        b_weight_n = tl.load(p_weights + o_n, mask=m_live, other=0.0).to(tl.float32)
    b_weight_n = tl.where(m_live, b_weight_n, 0.0)
    m_live = b_weight_n != 0.0

    # Logits, equation (2). [BN, KP]
    b_logits = tl.zeros([BN, KP], dtype=tl.float32)
    for i_d in range(0, tl.cdiv(width, BD)):
        o_d = i_d * BD + tl.arange(0, BD)
        m_d = o_d < width
        # [BN, BD]
        b_hidden = tl.load(
            p_hidden + o_n[:, None] * stride_n + o_d[None, :],
            mask=m_live[:, None] & m_d[None, :],
            other=0.0,
        )
        # [KP, BD]
        b_weight = tl.load(
            p_weight + o_k[:, None] * width + o_d[None, :],
            mask=m_k[:, None] & m_d[None, :],
            other=0.0,
        ).to(b_hidden.dtype)
        if UPCAST:
            b_hidden = b_hidden.to(tl.float32)
            b_weight = b_weight.to(tl.float32)
        b_logits = tl.dot(b_hidden, tl.trans(b_weight), b_logits, input_precision="ieee")
    if p_bias is not None:
        b_logits += tl.load(p_bias + o_k, mask=m_k, other=0.0).to(tl.float32)[None, :]
    b_logits = tl.where(m_k[None, :], b_logits, float("-inf"))

    # Softmax and its gradient, equations (3) and (4). The true class gets −Σ of the others: the
    # difference p − 1 has no digits left when p is near 1.
    b_top = tl.max(b_logits, axis=1)
    b_exp = tl.exp(b_logits - b_top[:, None])
    b_sum = tl.sum(b_exp, axis=1)
    m_true = o_k[None, :].to(tl.int64) == b_domain[:, None].to(tl.int64)
    b_others = tl.sum(tl.where(m_true, 0.0, b_exp), axis=1)
    b_gradient = tl.where(m_true, -b_others[:, None], b_exp) * (b_weight_n / b_sum)[:, None]
    b_gradient = tl.where(m_live[:, None], b_gradient, 0.0)
    b_true = tl.sum(tl.where(m_true, b_logits, 0.0), axis=1)
    # A domain outside 0…K−1 would be ignored without a word: NaN says that something is wrong.
    m_known = (b_domain >= 0) & (b_domain < n_domains)
    b_nll = tl.where(m_known, tl.log(b_sum) + b_top - b_true, float("nan"))
    b_loss = tl.where(m_live, b_nll * b_weight_n, 0.0)

    p_out = p_gradient + o_n[:, None] * KP + o_k[None, :]
    tl.store(p_out, b_gradient, mask=m_n[:, None])
    tl.store(p_row_weight + o_n, b_weight_n, mask=m_n)
    tl.store(p_loss + i_n, tl.sum(b_loss, axis=0))
    tl.store(p_mass + i_n, tl.sum(b_weight_n, axis=0))


def rows_forward(
    hidden_ND: Tensor,
    weight_KD: Tensor,
    bias_K: Tensor | None,
    domains: Tensor,
    weights_N: Tensor | None,
    select_N: Tensor | None,
    cu_seqlens: Tensor | None,
    normalizer: Tensor | None,
) -> list[Tensor]:
    """Launch the forward.

    Returns:
        The 0-d loss; the gradient of the unnormalised loss by the logits, fp32 `[N, KP]`; the
        effective weights, fp32 `[N]`; and 1/Z, 0-d.
    """
    hidden_ND = rows_contiguous(hidden_ND)
    n_rows, width = hidden_ND.shape
    n_domains = weight_KD.shape[0]
    n_segments = 0 if cu_seqlens is None else cu_seqlens.numel() - 1
    padded = padded_domains(n_domains)
    tile = forward_tile(hidden_ND.dtype, padded)
    programs = cdiv(n_rows, tile.rows)
    empty = partial(torch.empty, dtype=torch.float32, device=hidden_ND.device)
    gradient_NK = empty(n_rows, padded)
    row_weight_N = empty(n_rows)
    partial_loss, partial_mass = empty(programs), empty(programs)
    if programs:
        rows_forward_kernel[(programs,)](
            hidden_ND,
            weight_KD.contiguous(),
            None if bias_K is None else bias_K.contiguous(),
            domains.contiguous(),
            None if weights_N is None else weights_N.contiguous(),
            None if select_N is None else select_N.contiguous(),
            None if cu_seqlens is None else cu_seqlens.contiguous(),
            gradient_NK,
            row_weight_N,
            partial_loss,
            partial_mass,
            n_rows,
            width,
            n_domains,
            n_segments,
            search_steps(n_segments),
            hidden_ND.stride(0),
            KP=padded,
            BN=tile.rows,
            BD=tile.columns,
            UPCAST=upcast_dot(hidden_ND.dtype),
            num_warps=tile.warps,
            num_stages=tile.stages,
        )
    loss, inverse = finish(partial_loss, partial_mass, normalizer)
    return [loss, gradient_NK, row_weight_N, inverse]
