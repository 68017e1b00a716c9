"""One node for alignment and domain loss beside two nodes of ours, eager and compiled PyTorch.

Without the cross-entropy, whose arithmetic would hide what one write of the gradient saves.
"""

import pytest
import torch
from shapes import cells

from limbeck_kernels import distillation_head
from limbeck_kernels.alignment import semantic_alignment_naive
from limbeck_kernels.domain import domain_adversarial_naive
from limbeck_kernels.head import distillation_head_naive


@pytest.mark.parametrize(("shape_name", "fraction"), cells("0.5B 32k", "1B 32k"))
def test_head(shape, fraction, device, dtype, generator, compiled, compare):
    n, d, k, _, _ = shape
    of = {"generator": generator, "device": device}
    hidden = torch.randn(n, d, **of).to(dtype).requires_grad_()
    target = torch.randn(n, d, **of).to(dtype)
    weight = (torch.randn(k, d, **of) / d**0.5).requires_grad_()
    select = torch.rand(n, **of) < fraction
    domains = torch.randint(0, k, (n,), **of)
    strength = torch.tensor(0.1, device=device)
    terms = {
        "alignment": {"target": target, "select": select},
        "domain": {
            "weight": weight, "bias": None, "domains": domains, "strength": strength,
            "select": select,
        },
    }  # fmt: skip

    def ours():
        losses = distillation_head(hidden, **terms)
        return losses.alignment + losses.domain

    def two_nodes():
        _, alignment, domain = distillation_head_naive(hidden, **terms)
        return alignment + domain

    def eager():
        return semantic_alignment_naive(
            hidden, None, target, metric="cosine", weights_I=None, select_N=select,
            cu_seqlens=None, pooling="token", normalizer=None,
        ) + domain_adversarial_naive(
            hidden, weight, None, domains, strength=strength, select_N=select
        )  # fmt: skip

    # Forward: the states twice, the target; backward: the states twice, the target, the gradient.
    floor = (6 * int(select.sum()) + n) * d * hidden.element_size()
    compare(
        "head: alignment + domain",
        {"ours": ours, "two nodes": two_nodes, "eager": eager, "compiled": compiled(eager)},
        (hidden, weight),
        floor_bytes=floor,
        tolerance=2e-2 if dtype == torch.bfloat16 else 1e-4,
    )
