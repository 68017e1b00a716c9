"""What `selected_cross_entropy` multiplies and holds, and that its two ways give one gradient."""

import pytest
import torch

from limbeck_kernels import distillation_head, selected_cross_entropy
from limbeck_kernels.cross_entropy import chunked

N, D, V = 96, 24, 50
ROWS = torch.arange(1, N, 2)
R = len(ROWS)


def make(dtype=torch.float32, *, frozen=False):
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, D, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    head = torch.randn(V, D, generator=g, dtype=torch.float64).to(dtype)
    bias = torch.randn(V, generator=g, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, V, (N,), generator=g)
    options = {"weights": torch.rand(N, generator=g), "rows": ROWS}
    options["bias"] = bias.requires_grad_(not frozen)
    return hidden, head.requires_grad_(not frozen), labels, options


def fused(hidden, head, labels, **options):
    terms = {"head_weight": head, "labels": labels, **options}
    return distillation_head(hidden, cross_entropy=terms).cross_entropy


@pytest.fixture
def products(monkeypatch):
    """Return what counts the FLOP of matrix products, those inside of operators among them."""
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 20)  # and a chunk that is not full

    def count(run):
        cpu = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=cpu, with_flops=True) as profile:
            run()
        return sum(e.flops for e in profile.events() if e.name in ("aten::mm", "aten::addmm"))

    return count


@pytest.mark.parametrize("loss", [selected_cross_entropy, fused])
@pytest.mark.parametrize(("frozen", "times"), [(False, 6), (True, 4)])
def test_gradients_are_made_from_the_logits_of_forward(loss, frozen, times, products):
    *inputs, options = make(frozen=frozen)
    assert products(lambda: loss(*inputs, **options).backward()) == times * R * D * V


@pytest.mark.parametrize("loss", [selected_cross_entropy, fused])
def test_only_the_head_is_trained(loss, products):
    hidden, *inputs, options = make()
    assert products(lambda: loss(hidden.detach(), *inputs, **options).backward()) == 4 * R * D * V


@pytest.mark.parametrize("loss", [selected_cross_entropy, fused])
def test_without_gradient_only_the_logits_are_computed(loss, products):
    *inputs, options = make()
    with torch.no_grad():
        assert products(lambda: loss(*inputs, **options)) == 2 * R * D * V
    constant = [t.detach() for t in inputs]
    options["bias"] = options["bias"].detach()
    assert products(lambda: loss(*constant, **options)) == 2 * R * D * V


def test_single_losses_compute_the_logits_twice(products):
    *inputs, options = make()

    def step():
        selected_cross_entropy(*inputs, reduction="none", **options).sum().backward()

    assert products(step) == 8 * R * D * V


@pytest.mark.parametrize("loss", [selected_cross_entropy, fused])
@pytest.mark.parametrize(("softcap", "scale"), [(None, 1.0), (2.0, 0.7)])
def test_the_sum_of_single_losses_has_the_same_gradients(loss, softcap, scale, monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 20)
    hidden, head, labels, options = make(torch.float64)
    options |= {"softcap": softcap, "scale": scale}
    inputs = (hidden, head, options["bias"])
    each = selected_cross_entropy(hidden, head, labels, reduction="none", **options)
    want = torch.autograd.grad(-3.0 / 7.0 * each.sum(), inputs)
    mean = loss(hidden, head, labels, normalizer=7.0, **options)
    torch.testing.assert_close(mean, each.sum() / 7, rtol=1e-13, atol=0.0)
    for _ in range(2):  # what is held is scaled, not used up
        got = torch.autograd.grad(-3.0 * mean, inputs, retain_graph=True)
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", [selected_cross_entropy, fused])
def test_fp16_gradient_of_a_mean_over_a_million_tokens(loss):
    """The normalizer and a loss scale meet in fp32: weights and scale may be as far apart."""
    hidden, head, labels, options = make(torch.float16)
    inputs = (hidden, head, options["bias"])
    want = torch.autograd.grad(loss(hidden, head, labels, normalizer=1.0, **options), inputs)
    scaled = 2.0**20 * loss(hidden, head, labels, normalizer=2.0**20, **options)
    options["weights"] = options["weights"] * 2.0**-20
    tiny = loss(hidden, head, labels, normalizer=2.0**-20, **options)
    for run in (scaled, tiny):
        for a, b in zip(torch.autograd.grad(run, inputs), want, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("loss", [selected_cross_entropy, fused])
def test_what_is_held_for_backward(loss):
    """The gradients in place of the logits: R × D as the states are, V × D in fp32."""
    *inputs, options = make(torch.bfloat16)
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t) or t, lambda t: t):
        loss(*inputs, **options)
    shapes = [(tuple(t.shape), t.dtype) for t in held]
    assert ((R, D), torch.bfloat16) in shapes
    assert ((V, D), torch.float32) in shapes
    assert not any(shape in {(R, V), (N, V)} for shape, _ in shapes)
