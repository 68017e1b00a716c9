"""The alignment loss beside eager and compiled PyTorch."""

import pytest
import torch
from shapes import cells

from limbeck_kernels import semantic_alignment_loss
from limbeck_kernels.alignment import semantic_alignment_naive

CELLS = [
    *(("token", "cosine", *cell) for cell in cells("0.5B 32k", "1B 32k", "8B 128k")),
    *(("token", metric, *cell) for metric in ("mse", "smooth_l1") for cell in cells("1B 32k")),
    *(("mean", "cosine", *cell) for cell in cells("1B 32k")),
]


@pytest.mark.parametrize(("pooling", "metric", "shape_name", "fraction"), CELLS)
def test_alignment(pooling, metric, shape, fraction, device, dtype, generator, compiled, compare):
    n, d, _, segments, _ = shape
    items, starts = n, None
    if pooling != "token":
        items = segments
        starts = torch.arange(segments + 1, device=device, dtype=torch.int32) * (n // segments)
    of = {"generator": generator, "device": device}
    hidden = torch.randn(n, d, **of).to(dtype).requires_grad_()
    target = torch.randn(items, d, **of).to(dtype)
    select = torch.rand(n, **of) < fraction

    def ours():
        return semantic_alignment_loss(
            hidden, target, metric=metric, select=select, cu_seqlens=starts, pooling=pooling
        )

    def eager():
        return semantic_alignment_naive(
            hidden, None, target, metric=metric, weights_I=None, select_N=select,
            cu_seqlens=starts, pooling=pooling, normalizer=None,
        )  # fmt: skip

    live = int(select.sum())
    read = 4 * live if pooling == "token" else live
    compare(
        f"alignment {metric} {pooling}",
        {"ours": ours, "eager": eager, "compiled": compiled(eager)},
        (hidden,),
        floor_bytes=(read + n) * d * hidden.element_size(),
        tolerance=2e-2 if dtype == torch.bfloat16 else 1e-4,
    )
