"""What only a GPU can show: bf16 on the matrix units, races, graphs. Skipped elsewhere."""

import pytest
import torch

from limbeck_kernels import (
    distillation_head,
    domain_adversarial_loss,
    selected_cross_entropy,
    semantic_alignment_loss,
)
from limbeck_kernels.alignment import semantic_alignment_naive
from limbeck_kernels.cross_entropy import selected_cross_entropy_naive
from limbeck_kernels.domain import domain_adversarial_naive
from limbeck_kernels.head import distillation_head_naive

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm device"),
]
SHAPES = [  # `small` is what also runs under compute-sanitizer
    pytest.param(63, 896, 4, id="small"),
    (1, 896, 1), (2000, 896, 12), (2000, 896, 64), (8192, 2048, 12),
]  # fmt: skip
POOLINGS = ["token", "mean", "last"]


def make(n, d, k, pooling, dtype=torch.bfloat16):
    g = torch.Generator(device="cuda").manual_seed(0)
    hidden = torch.randn(n, d, generator=g, device="cuda").to(dtype).requires_grad_()
    weight = (torch.randn(k, d, generator=g, device="cuda") / d**0.5).requires_grad_()
    bias = torch.randn(k, generator=g, device="cuda").requires_grad_()
    starts = None
    items = n
    if pooling != "token":
        starts = torch.tensor([0, n // 5, n // 5, n // 2, n], device="cuda")
        items = 4
    domains = torch.randint(0, k, (items,), generator=g, device="cuda")
    select = torch.rand(n, generator=g, device="cuda") < 0.7
    select[-1] = True
    return hidden, weight, bias, domains, select, starts


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_bf16_domain_loss(n, d, k, pooling, close):
    hidden, weight, bias, domains, select, starts = make(n, d, k, pooling)
    inputs = (hidden, weight, bias)

    def gradients(loss, of):
        return [loss.detach(), *torch.autograd.grad(loss, of)]

    def naive(h, w, b):
        return domain_adversarial_naive(
            h, w, b, domains, strength=torch.tensor(0.3, device="cuda"), select_N=select,
            cu_seqlens=starts, pooling=pooling,
        )  # fmt: skip

    loss = domain_adversarial_loss(
        *inputs, domains, strength=0.3, select=select, cu_seqlens=starts, pooling=pooling,
        impl="triton",
    )  # fmt: skip
    exact = [t.detach().double().requires_grad_() for t in inputs]
    with torch.autocast("cuda", dtype=torch.bfloat16):
        rival = gradients(naive(*inputs), inputs)
    close(gradients(loss, inputs), gradients(naive(*exact), exact), rival, 5e-3)


@pytest.mark.parametrize("metric", ["cosine", "mse", "smooth_l1"])
@pytest.mark.parametrize(("n", "d", "_k"), SHAPES)
def test_bf16_alignment(n, d, _k, metric, close):
    hidden, *_, select, _ = make(n, d, 1, "token")
    target = torch.randn(n, d, device="cuda").bfloat16()

    def naive(h):
        return semantic_alignment_naive(
            h, None, target, metric=metric, weights_I=None, select_N=select, cu_seqlens=None,
            pooling="token", normalizer=None,
        )  # fmt: skip

    loss = semantic_alignment_loss(hidden, target, metric=metric, select=select, impl="triton")
    exact = hidden.detach().double().requires_grad_()
    results = [
        [value.detach(), *torch.autograd.grad(value, of)]
        for value, of in ((loss, hidden), (naive(exact), exact), (naive(hidden), hidden))
    ]
    close(*results, 1e-3)


def results(loss, of):
    return [loss.detach(), *torch.autograd.grad(loss, of)]


@pytest.mark.parametrize(("n", "d", "v"), [(300, 896, 1_003), (8192, 896, 50_257)])
def test_bf16_cross_entropy(n, d, v, close):
    g = torch.Generator(device="cuda").manual_seed(0)
    hidden = torch.randn(n, d, generator=g, device="cuda").bfloat16().requires_grad_()
    head = (torch.randn(v, d, generator=g, device="cuda") / d**0.5).bfloat16().requires_grad_()
    labels = torch.randint(0, v, (n,), generator=g, device="cuda")
    weights = torch.rand(n, generator=g, device="cuda")
    weights[weights < 0.6] = 0
    rows = weights.nonzero().squeeze(1)
    inputs = (hidden, head)
    got = results(selected_cross_entropy(*inputs, labels, weights=weights, rows=rows), inputs)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    few = {"labels_N": labels[rows], "weights_N": weights[rows]}
    want = results(selected_cross_entropy_naive(exact[0][rows], exact[1], **few), exact)
    nll = torch.nn.functional.cross_entropy(
        (hidden[rows] @ head.T).float(), labels[rows], reduction="none"
    )
    rival = results((nll * weights[rows]).sum() / weights.sum(), inputs)
    close(got, want, rival, 5e-3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_bf16_head_is_its_three_losses(pooling):
    n, d, v, k = 2000, 896, 1_003, 12
    hidden, classifier, bias, domains, select, starts = make(n, d, k, pooling)
    g = torch.Generator(device="cuda").manual_seed(1)
    head = (torch.randn(v, d, generator=g, device="cuda") / d**0.5).requires_grad_()
    labels = torch.randint(0, v, (n,), generator=g, device="cuda")
    pooled = {"select": select, "cu_seqlens": starts, "pooling": pooling}
    target = torch.randn(domains.numel(), d, generator=g, device="cuda").bfloat16()
    terms = {
        "cross_entropy": {"head_weight": head, "labels": labels, "weights": select.float()},
        "alignment": {"target": target, **pooled},
        "domain": {
            "weight": classifier, "bias": bias, "domains": domains, "strength": 0.3, **pooled,
        },
    }  # fmt: skip
    inputs = (hidden, head, classifier, bias)
    got = results(sum(distillation_head(hidden, **terms)), inputs)
    want = results(sum(distillation_head_naive(hidden, **terms)), inputs)
    for a, b in zip(got, want, strict=True):
        assert (a.double() - b.double()).norm() <= 1e-2 * b.double().norm()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_hundred_runs_agree_to_the_bit(pooling):
    hidden, weight, bias, domains, select, starts = make(8192, 896, 12, pooling)

    def run():
        loss = domain_adversarial_loss(
            hidden, weight, bias, domains, strength=0.3, select=select, cu_seqlens=starts,
            pooling=pooling, impl="triton",
        )  # fmt: skip
        return [loss.detach(), *torch.autograd.grad(loss, (hidden, weight, bias))]

    first = run()
    for _ in range(100):
        assert all(torch.equal(a, b) for a, b in zip(run(), first, strict=True))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_captured_graph_follows_the_strength(pooling):
    """Nothing waits for the device, so one graph serves every λ."""
    hidden, weight, bias, domains, select, starts = make(2048, 896, 12, pooling)
    strength = torch.tensor(1.0, device="cuda")

    def run():
        loss = domain_adversarial_loss(
            hidden, weight, bias, domains, strength=strength, select=select, cu_seqlens=starts,
            pooling=pooling, impl="triton",
        )  # fmt: skip
        return torch.autograd.grad(loss, hidden)[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    for value in (1.0, 0.25):
        strength.fill_(value)
        graph.replay()
        torch.testing.assert_close(captured, run(), rtol=0, atol=0)
