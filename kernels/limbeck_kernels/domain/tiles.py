"""Tile sizes of the domain kernels: one shipped configuration a dtype and padded K.

What registers and shared memory each takes on each GPU stands in the table of
`kernels/README.md`, made by compiling them all ahead of time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

MAX_DOMAINS = 64
# Programs that the backward aims at: enough to fill the largest GPU several times over. A constant,
# not the number of its processors, so that the order of summation is the same on every GPU.
BACKWARD_PROGRAMS = 512
# A slab's partial dW is 8·K·D bytes written and read: over fewer rows it would outweigh them.
MINIMAL_SLAB_ROWS = 256


class Tile(NamedTuple):
    """Rows and columns of a tile, warps and pipeline stages of its program."""

    rows: int
    columns: int
    warps: int
    stages: int


def padded_domains(n_domains: int) -> int:
    """Return K rounded up to what the matrix units take: 16 or 64."""
    return 16 if n_domains <= 16 else MAX_DOMAINS


def forward_tile(dtype: torch.dtype, padded: int) -> Tile:
    """Return the tile of `rows_forward_kernel`.

    From 64 rows on, sm_100 takes its tensor memory for the product, and Triton 3.6 fails to
    compile the reduction that follows; 64 rows and 4 warps put 8 bytes on the stack on sm_80.
    fp32 at KP = 64 and 32 rows puts up to 16 there on sm_90 and sm_120 (Triton 3.6).
    """
    if dtype == torch.float32:
        return Tile(32 if padded == 16 else 16, 32, 4, 2)
    return Tile(32, 128, 4, 2) if padded == 16 else Tile(32, 64, 4, 2)


def backward_tile(dtype: torch.dtype, padded: int) -> Tile:
    """Return the tile of `rows_backward_kernel`.

    At KP = 64 the two halves of g leave no room for wider ones: 64 × 64 spills 16 to 72 bytes on
    sm_80, sm_89 and sm_120, 32 × 64 up to 72, 128 × 32 up to 96.
    """
    if dtype == torch.float32:
        return Tile(32, 32, 4, 2) if padded == 16 else Tile(32, 32, 8, 1)
    return Tile(64, 128, 8, 2) if padded == 16 else Tile(64, 32, 8, 2)


def states_tile(dtype: torch.dtype, padded: int) -> Tile:
    """Return the tile of the head's `states_backward_kernel`, which adds the same product (6).

    With 64 padded domains: in fp32 32 × 64 spills 200 bytes and 32 × 32 8 (sm_100, Triton 3.6),
    and with 4 warps bf16 8 on sm_80.
    """
    if padded == MAX_DOMAINS:
        return Tile(16, 32, 4, 1) if dtype == torch.float32 else Tile(32, 64, 8, 1)
    return Tile(32, 64, 4, 1)
