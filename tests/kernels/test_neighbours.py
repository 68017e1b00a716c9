"""Faults that other packages' fused losses have had, looked for in ours.

Each test names the report it comes from; those of the domain loss stand in `test_domain.py`.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck_kernels import (
    distillation_head,
    domain_adversarial_loss,
    reversed_linear,
    selected_cross_entropy,
    semantic_alignment_loss,
)
from limbeck_kernels.cross_entropy import chunked


@pytest.fixture
def random(device):
    g = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=g).to(device)


@pytest.mark.parametrize("vocabulary", [1, 127, 257])
def test_a_vocabulary_that_no_tile_divides(vocabulary, random, device):
    """verl #2899."""
    hidden = random(63, 24).double().requires_grad_()
    head = random(vocabulary, 24).double().requires_grad_()
    labels = torch.arange(63, device=device) % vocabulary
    ours = selected_cross_entropy(hidden, head, labels, weights=torch.ones(63, device=device))
    want = F.cross_entropy(hidden @ head.T, labels)
    torch.testing.assert_close(ours, want)
    for a, b in zip(
        torch.autograd.grad(ours, (hidden, head)),
        torch.autograd.grad(want, (hidden, head)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_every_row_gets_its_own_upstream_gradient(random, device):
    """Liger-Kernel #968: all rows were scaled by the first one's."""
    hidden, head = random(40, 24).requires_grad_(), random(50, 24)
    labels, weights = torch.arange(40, device=device), torch.ones(40, device=device)
    upstream = torch.linspace(-2, 3, 40, device=device)
    each = selected_cross_entropy(hidden, head, labels, weights=weights, reduction="none")
    (got,) = torch.autograd.grad(each, hidden, upstream)
    nll = F.cross_entropy(hidden @ head.T, labels, reduction="none")
    (want,) = torch.autograd.grad(nll, hidden, upstream)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_head_is_accumulated_in_fp32(dtype, monkeypatch, device):
    """Liger-Kernel #512, #827: a bf16 sum stops growing at 256 equal contributions."""
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 2)
    n = 1024
    hidden = torch.ones(n, 8, dtype=dtype, device=device)
    head = torch.zeros(2, 8, device=device, requires_grad=True)
    labels = torch.zeros(n, dtype=torch.int64, device=device)
    loss = selected_cross_entropy(
        hidden, head, labels, weights=torch.ones(n, device=device), normalizer=1.0
    )
    loss.backward()
    want = torch.tensor([[-0.5], [0.5]], device=device).expand(2, 8) * n
    torch.testing.assert_close(head.grad, want, rtol=1e-6, atol=0)


def test_a_sure_prediction_keeps_its_gradient(device):
    """Liger-Kernel #1329: at p = 0.999 the true class's gradient, p − 1, was gone."""
    margin = 7.0
    head = torch.eye(2, 4, device=device, dtype=torch.float16).float().requires_grad_()
    hidden = torch.tensor([[margin, 0, 0, 0]], dtype=torch.float16, device=device)
    labels = torch.zeros(1, dtype=torch.int64, device=device)
    loss = selected_cross_entropy(hidden, head, labels, weights=torch.ones(1, device=device))
    loss.backward()
    want = -margin / (1 + math.exp(margin))
    assert head.grad[0, 0].item() == pytest.approx(want, rel=2e-3)


def test_every_mask_and_weight_is_used(random, device):
    """Liger-Kernel #974, #1478: an argument was accepted and had no effect."""
    hidden, head, target = random(30, 16), random(20, 16), random(30, 16)
    labels = torch.arange(30, device=device) % 20
    uneven, ones = torch.linspace(0.1, 2, 30, device=device), torch.ones(30, device=device)
    half = torch.arange(30, device=device) < 15
    ignored = torch.where(half, labels, -100)

    def differ(loss, plain, *changes):
        for change in changes:
            assert not torch.isclose(loss(**plain), loss(**(plain | change))), change

    differ(
        lambda **k: selected_cross_entropy(hidden, head, **k),
        {"labels": labels, "weights": ones},
        {"weights": uneven}, {"labels": ignored}, {"rows": half.nonzero().squeeze(1)},
        {"bias": random(20)}, {"softcap": 2.0}, {"scale": 0.5}, {"normalizer": 7.0},
    )  # fmt: skip
    starts = torch.tensor([0, 10, 30], device=device)
    differ(
        lambda **k: semantic_alignment_loss(hidden, **k), {"target": target},
        {"weights": uneven}, {"select": half}, {"metric": "mse"}, {"metric": "smooth_l1"},
        {"normalizer": 7.0}, {"projection": random(16, 16)},
        {"target": target[:2], "cu_seqlens": starts, "pooling": "mean"},
    )  # fmt: skip
    differ(
        lambda **k: domain_adversarial_loss(hidden, head, strength=1.0, **k),
        {"domains": labels, "bias": None},
        {"weights": uneven}, {"select": half}, {"domains": ignored}, {"bias": random(20)},
        {"normalizer": 7.0}, {"domains": labels[:2], "cu_seqlens": starts},
        {"domains": labels[:2], "cu_seqlens": starts, "pooling": "mean"},
    )  # fmt: skip


def test_a_completion_without_a_token_is_zero_and_not_nan(random, device):
    """TRL #5339: a sum per sequence, one of them empty, as ORPO takes it."""
    hidden, head = random(20, 16).requires_grad_(), random(30, 16)
    weights = torch.ones(20, device=device)
    weights[5:12] = 0  # the second of three sequences
    sequence = torch.tensor([0] * 5 + [1] * 7 + [2] * 8, device=device)
    each = selected_cross_entropy(
        hidden, head, torch.arange(20, device=device), weights=weights, reduction="none"
    )
    sums = each.new_zeros(3).index_add(0, sequence, each)
    assert sums[1] == 0
    (grad,) = torch.autograd.grad(sums.sum(), hidden)
    assert grad.isfinite().all()
    assert not grad[5:12].any()


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_a_sharded_parameter_is_refused(one_process):
    """TRL #6372: a head that ZeRO-3 or FSDP2 had not gathered gave the loss of one shard."""
    from torch.distributed.tensor import Shard, distribute_tensor

    def sharded(*shape):
        return distribute_tensor(torch.randn(*shape), one_process, [Shard(0)])

    hidden, labels = torch.randn(6, 8), torch.arange(6)
    ones = torch.ones(6)
    calls = [
        lambda: selected_cross_entropy(hidden, sharded(9, 8), labels, weights=ones),
        lambda: domain_adversarial_loss(hidden, sharded(6, 8), None, labels, strength=1.0),
        lambda: semantic_alignment_loss(hidden, torch.randn(6, 4), projection=sharded(4, 8)),
        lambda: reversed_linear(hidden, sharded(9, 8), strength=1.0),
        lambda: distillation_head(
            hidden,
            cross_entropy={"head_weight": sharded(9, 8), "labels": labels, "weights": ones},
        ),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="sharded DTensor"):
            call()
