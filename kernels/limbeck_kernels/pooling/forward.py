"""Pooling of packed segments in Triton: equations (1) and (2) of README.md.

The mean is a sum in two levels of fixed order. First every chunk of tokens adds up its part of
every segment it touches, then every segment adds up its chunks. Chunk c's part of segment s is
kept in slot c + s: walking along the tokens either c or s grows, so no two parts share a slot,
and chunks + segments slots are enough, a number known from shapes alone.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from limbeck_kernels.device import search_steps, segment_of
from limbeck_kernels.launch import cdiv, rows_contiguous

CHUNK = 128
COLUMNS = 128
SLOTS = 16
SCAN = 1024


@triton.jit(do_not_specialize=["n_tokens", "n_segments", "n_steps"])
def chunk_sums_kernel(
    p_hidden,  # [N, D], rows stride_n apart
    p_select,  # [N] or None
    p_cu_seqlens,  # [S + 1]
    p_sums,  # out [chunks + S, D] fp32
    p_counts,  # out [chunks + S] int32
    n_tokens,
    width,
    n_segments,
    n_steps,
    stride_n,
    CHUNK: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """One program: BD columns of one chunk, segment after segment."""
    i_chunk, i_d = tl.program_id(0).to(tl.int64), tl.program_id(1)
    o_d = i_d * BD + tl.arange(0, BD)
    m_d = o_d < width
    chunk_start = i_chunk * CHUNK
    chunk_end = tl.minimum(chunk_start + CHUNK, n_tokens)
    o_ends = chunk_start + tl.arange(0, 2) * (chunk_end - 1 - chunk_start)
    b_ends = segment_of(o_ends, p_cu_seqlens, n_segments, n_steps)
    first = tl.maximum(tl.min(b_ends, axis=0), 0)
    last = tl.minimum(tl.max(b_ends, axis=0), n_segments - 1)
    for i_s in range(first, last + 1):
        start = tl.maximum(tl.load(p_cu_seqlens + i_s).to(tl.int64), chunk_start)
        end = tl.minimum(tl.load(p_cu_seqlens + i_s + 1).to(tl.int64), chunk_end)
        # [BN, BD]
        b_sum = tl.zeros([BN, BD], dtype=tl.float32)
        b_count = tl.zeros([BN], dtype=tl.int32)
        for i_n in range(0, tl.cdiv(end - start, BN)):
            o_n = start + i_n * BN + tl.arange(0, BN)
            m_n = o_n < end
            if p_select is not None:
                m_n = m_n & (tl.load(p_select + o_n, mask=m_n, other=0) != 0)
            b_sum += tl.load(
                p_hidden + o_n[:, None] * stride_n + o_d[None, :],
                mask=m_n[:, None] & m_d[None, :],
                other=0.0,
            ).to(tl.float32)
            b_count += m_n.to(tl.int32)
        if start < end:
            slot = i_chunk + i_s
            tl.store(p_sums + slot * width + o_d, tl.sum(b_sum, axis=0), mask=m_d)
            if i_d == 0:
                tl.store(p_counts + slot, tl.sum(b_count, axis=0))


@triton.jit(do_not_specialize=["n_tokens"])
def segment_means_kernel(
    p_sums,  # [chunks + S, D] fp32
    p_counts,  # [chunks + S] int32
    p_cu_seqlens,  # [S + 1]
    p_pooled,  # out [S, D] fp32
    p_where,  # out [S] int64: selected tokens
    p_valid,  # out [S] bool
    n_tokens,
    width,
    CHUNK: tl.constexpr,
    BS: tl.constexpr,
    BD: tl.constexpr,
):
    """One program: BD columns of one segment, its chunks added first to last."""
    i_s, i_d = tl.program_id(0).to(tl.int64), tl.program_id(1)
    o_d = i_d * BD + tl.arange(0, BD)
    m_d = o_d < width
    start = tl.load(p_cu_seqlens + i_s).to(tl.int64)
    end = tl.minimum(tl.load(p_cu_seqlens + i_s + 1).to(tl.int64), n_tokens)
    first = start // CHUNK + i_s
    slots = tl.where(end > start, (end - 1) // CHUNK - start // CHUNK + 1, 0)
    # [BS, BD]
    b_sum = tl.zeros([BS, BD], dtype=tl.float32)
    b_count = tl.zeros([BS], dtype=tl.int32)
    for i in range(0, tl.cdiv(slots, BS)):
        o_slot = i * BS + tl.arange(0, BS)
        m_slot = o_slot < slots
        b_sum += tl.load(
            p_sums + (first + o_slot)[:, None] * width + o_d[None, :],
            mask=m_slot[:, None] & m_d[None, :],
            other=0.0,
        )
        b_count += tl.load(p_counts + first + o_slot, mask=m_slot, other=0)
    count = tl.sum(b_count, axis=0)
    b_mean = tl.sum(b_sum, axis=0) / tl.maximum(count, 1).to(tl.float32)
    tl.store(p_pooled + i_s * width + o_d, b_mean, mask=m_d)
    if i_d == 0:
        tl.store(p_where + i_s, count.to(tl.int64))
        tl.store(p_valid + i_s, count > 0)


@triton.jit(do_not_specialize=["n_tokens"])
def segment_lasts_kernel(
    p_hidden,  # [N, D], rows stride_n apart
    p_select,  # [N] or None
    p_cu_seqlens,  # [S + 1]
    p_pooled,  # out [S, D] fp32
    p_where,  # out [S] int64: position of the last selected token, −1 without one
    p_valid,  # out [S] bool
    n_tokens,
    width,
    stride_n,
    SCAN: tl.constexpr,
    BD: tl.constexpr,
):
    """One program: one segment, searched from its end, which is where the token mostly is."""
    i_s = tl.program_id(0).to(tl.int64)
    start = tl.load(p_cu_seqlens + i_s).to(tl.int64)
    end = tl.minimum(tl.load(p_cu_seqlens + i_s + 1).to(tl.int64), n_tokens)
    if p_select is None:
        position = tl.where(end > start, end - 1, -1)
    else:
        position = tl.full([], -1, tl.int64)
        cursor = end
        while (cursor > start) & (position < 0):
            o_n = cursor - SCAN + tl.arange(0, SCAN)
            m_n = (o_n >= start) & (tl.load(p_select + o_n, mask=o_n >= start, other=0) != 0)
            position = tl.max(tl.where(m_n, o_n, -1), axis=0)
            cursor -= SCAN
    present = tl.where(position >= 0, width, 0)  # columns to read: none without a token
    for i_d in range(0, tl.cdiv(width, BD)):
        o_d = i_d * BD + tl.arange(0, BD)
        b_state = tl.load(p_hidden + position * stride_n + o_d, mask=o_d < present, other=0.0)
        tl.store(p_pooled + i_s * width + o_d, b_state.to(tl.float32), mask=o_d < width)
    tl.store(p_where + i_s, position)
    tl.store(p_valid + i_s, position >= 0)


def _rows(dtype: torch.dtype) -> int:
    # In fp32 a tile of 32 rows puts 8 bytes on the stack on sm_90 (Triton 3.6).
    return 16 if dtype == torch.float32 else 32


def pool_forward(
    hidden_ND: Tensor, select_N: Tensor | None, cu_seqlens: Tensor, pooling: str
) -> list[Tensor]:
    """Launch the pooling.

    Returns:
        Pooled states, fp32 `[S, D]`; int64 `[S]`, how many tokens each mean is of (`mean`) or
        which token was taken (`last`); and bool `[S]`, whether the segment has one.
    """
    hidden_ND = rows_contiguous(hidden_ND)
    n_tokens, width = hidden_ND.shape
    n_segments = cu_seqlens.numel() - 1
    device = hidden_ND.device
    pooled_SD = torch.empty(n_segments, width, dtype=torch.float32, device=device)
    where_S = torch.empty(n_segments, dtype=torch.int64, device=device)
    valid_S = torch.empty(n_segments, dtype=torch.bool, device=device)
    cu_seqlens = cu_seqlens.contiguous()
    select_N = None if select_N is None else select_N.contiguous()
    if pooling == "last":
        if n_segments:
            segment_lasts_kernel[(n_segments,)](
                hidden_ND, select_N, cu_seqlens, pooled_SD, where_S, valid_S,
                n_tokens, width, hidden_ND.stride(0), SCAN=SCAN, BD=SCAN, num_warps=4,
            )  # fmt: skip
        return [pooled_SD, where_S, valid_S]

    chunks, column_tiles = cdiv(n_tokens, CHUNK), cdiv(width, COLUMNS)
    sums = torch.empty(chunks + n_segments, width, dtype=torch.float32, device=device)
    counts = torch.empty(chunks + n_segments, dtype=torch.int32, device=device)
    if chunks and n_segments:
        chunk_sums_kernel[(chunks, column_tiles)](
            hidden_ND, select_N, cu_seqlens, sums, counts,
            n_tokens, width, n_segments, search_steps(n_segments), hidden_ND.stride(0),
            CHUNK=CHUNK, BN=_rows(hidden_ND.dtype), BD=COLUMNS, num_warps=4,
        )  # fmt: skip
    if n_segments:
        segment_means_kernel[(n_segments, column_tiles)](
            sums, counts, cu_seqlens, pooled_SD, where_S, valid_S, n_tokens, width,
            CHUNK=CHUNK, BS=SLOTS, BD=COLUMNS, num_warps=4,
        )  # fmt: skip
    return [pooled_SD, where_S, valid_S]
