"""The domain-adversarial loss beside eager and compiled PyTorch."""

import pytest
import torch
from shapes import cells

from limbeck_kernels import domain_adversarial_loss
from limbeck_kernels.domain import domain_adversarial_naive

CELLS = [
    *(("token", *cell) for cell in cells("0.5B 8k", "0.5B 32k", "1B 32k", "8B 128k")),
    *(("mean", *cell) for cell in cells("1B 32k", "8B 128k, 4 segments")),
    *(("last", *cell) for cell in cells("1B 32k", fractions=(0.3,))),
]


@pytest.mark.parametrize(("pooling", "shape_name", "fraction"), CELLS)
def test_domain(pooling, shape, fraction, device, dtype, generator, compiled, compare):
    n, d, k, segments, _ = shape
    of = {"generator": generator, "device": device}
    hidden = torch.randn(n, d, **of).to(dtype).requires_grad_()
    weight = (torch.randn(k, d, **of) / d**0.5).requires_grad_()
    bias = torch.zeros(k, device=device, requires_grad=True)
    select = torch.rand(n, **of) < fraction
    items, starts = n, None
    if pooling != "token":
        items = segments
        starts = torch.arange(segments + 1, device=device, dtype=torch.int32) * (n // segments)
    domains = torch.randint(0, k, (items,), **of)
    strength = torch.tensor(0.1, device=device)

    def ours():
        return domain_adversarial_loss(
            hidden, weight, bias, domains, strength=strength, select=select, cu_seqlens=starts,
            pooling=pooling,
        )  # fmt: skip

    def eager():
        return domain_adversarial_naive(
            hidden, weight, bias, domains, strength=strength, select_N=select, cu_seqlens=starts,
            pooling=pooling,
        )  # fmt: skip

    passes = 2 if pooling == "token" else 1
    read = segments * d if pooling == "last" else passes * int(select.sum()) * d
    compare(
        f"domain {pooling}",
        {"ours": ours, "eager": eager, "compiled": compiled(eager)},
        (hidden, weight, bias),
        floor_bytes=(read + n * d) * hidden.element_size(),
        tolerance=2e-2 if dtype == torch.bfloat16 else 1e-4,
    )
