"""Device functions that several ops share: segments, the last sum and its division.

Letters in every kernel of this package: `i_` an index, `o_` offsets, `m_` a mask, `b_` a block of
values, `p_` a pointer; the shape of a tile stands above it. Lengths that differ from batch to
batch are not specialised, so no batch compiles anything anew.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

FINISH_BLOCK = 1024


def search_steps(n_segments: int) -> int:
    """Return how often `segment_of` must halve its interval."""
    return (n_segments + 1).bit_length()


@triton.jit
def segment_of(o_n, p_cu_seqlens, n_segments, n_steps):
    """Return the segment of each token by binary search; −1 before the first, S in the tail.

    Finds how many starts are ≤ the token. An empty segment shares its start with the next, which
    therefore gets the token.
    """
    b_low = tl.zeros_like(o_n).to(tl.int32)
    b_high = b_low + (n_segments + 1)
    for _ in range(n_steps):
        m_open = b_low < b_high
        b_middle = (b_low + b_high) // 2
        b_start = tl.load(p_cu_seqlens + b_middle, mask=m_open, other=0)
        m_right = m_open & (b_start <= o_n)
        b_high = tl.where(m_open & (b_start > o_n), b_middle, b_high)
        b_low = tl.where(m_right, b_middle + 1, b_low)
    return b_low - 1


@triton.jit(do_not_specialize=["n_partials"])
def finish_kernel(
    p_partial_loss,  # [programs]
    p_partial_mass,  # [programs]
    p_normalizer,  # 0-d or None
    p_loss,  # out 0-d
    p_inverse,  # out 0-d: 1/Z, 0 where Z is 0
    n_partials,
    BLOCK: tl.constexpr,
):
    """One program adds partial sums in a fixed order and divides by the normalizer."""
    b_loss = tl.zeros([BLOCK], dtype=tl.float32)
    b_mass = tl.zeros([BLOCK], dtype=tl.float32)
    for i in range(0, tl.cdiv(n_partials, BLOCK)):
        o = i * BLOCK + tl.arange(0, BLOCK)
        b_loss += tl.load(p_partial_loss + o, mask=o < n_partials, other=0.0)
        b_mass += tl.load(p_partial_mass + o, mask=o < n_partials, other=0.0)
    if p_normalizer is None:  # noqa: SIM108 — decided when it is compiled
        z = tl.sum(b_mass, axis=0)
    else:
        z = tl.load(p_normalizer).to(tl.float32)
    inverse = tl.where(z == 0.0, 0.0, 1.0 / tl.where(z == 0.0, 1.0, z))
    tl.store(p_loss, tl.where(z == 0.0, 0.0, tl.sum(b_loss, axis=0) * inverse))
    tl.store(p_inverse, inverse)


def finish(partial_loss: Tensor, partial_mass: Tensor, normalizer: Tensor | None) -> list[Tensor]:
    """Return the 0-d loss and the reciprocal of the normalizer from one partial sum a program."""
    loss = torch.empty((), dtype=torch.float32, device=partial_loss.device)
    inverse = torch.empty_like(loss)
    finish_kernel[(1,)](
        partial_loss, partial_mass, normalizer, loss, inverse, partial_loss.numel(),
        BLOCK=FINISH_BLOCK, num_warps=4,
    )  # fmt: skip
    return [loss, inverse]
