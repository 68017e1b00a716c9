"""The named shapes of the benchmarks: rows and widths of real students, a small one for a CPU."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Shape(NamedTuple):
    """Tokens, width, domains, segments and vocabulary of one training step."""

    tokens: int
    width: int
    domains: int
    segments: int
    vocabulary: int


# 0.5B is Qwen2.5-0.5B, 1B Llama-3.2-1B, 8B Llama-3.1-8B. At 8k × 896 the states fit into the L2 of
# an H200 (60 MB), at 32k × 896 they lie at its size, beyond that well above.
GPU = {
    "0.5B 8k": Shape(8_192, 896, 4, 64, 151_936),
    "0.5B 32k": Shape(32_768, 896, 12, 256, 151_936),
    "1B 8k": Shape(8_192, 2_048, 12, 64, 128_256),
    "1B 32k": Shape(32_768, 2_048, 12, 256, 128_256),
    "8B 8k": Shape(8_192, 4_096, 12, 64, 128_256),
    "8B 128k": Shape(131_072, 4_096, 64, 1_024, 128_256),
    "8B 128k, 4 segments": Shape(131_072, 4_096, 12, 4, 128_256),
}
CPU = {"tiny": Shape(512, 128, 4, 16, 1_000)}
SHAPES = GPU if torch.cuda.is_available() else CPU


def cells(*names: str, fractions: tuple[float, ...] = (1.0, 0.3)) -> list[tuple[str, float]]:
    """Return (shape, fraction of rows that count) of the named shapes, or of the CPU's."""
    chosen = [name for name in names if name in SHAPES] or list(SHAPES)
    return [(name, fraction) for name in chosen for fraction in fractions]
