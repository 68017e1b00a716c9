"""The operators under torch's own checks and under its compiler."""

import pytest
import torch

from limbeck_kernels import (
    domain_adversarial_loss,
    reversed_linear,
    selected_cross_entropy,
    semantic_alignment_loss,
)
from limbeck_kernels.alignment.op import (
    distance_backward,
    distance_forward,
    projected_distance_backward,
    projected_distance_forward,
)
from limbeck_kernels.cross_entropy.op import cross_entropy_rows, cross_entropy_total
from limbeck_kernels.domain.op import domain_backward, domain_forward
from limbeck_kernels.head.op import states_backward_operator
from limbeck_kernels.pooling.op import pool_backward, pool_forward
from limbeck_kernels.reversal.op import reversed_linear_backward, reversed_linear_forward

N, D, K, S = 40, 24, 4, 3


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def inputs(device, n=N):
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, D, generator=g).to(device).requires_grad_()
    weight = torch.randn(K, D, generator=g).to(device).requires_grad_()
    bias = torch.randn(K, generator=g).to(device).requires_grad_()
    domains = torch.randint(0, K, (n,), generator=g).to(device)
    weights = torch.rand(n, generator=g).to(device)
    select = (torch.rand(n, generator=g) < 0.7).to(device)
    cu_seqlens = torch.tensor([0, n // 4, n // 2, n - 3]).to(device)
    return hidden, weight, bias, domains, weights, select, cu_seqlens


def cases(device, impl):
    """Arguments of every operator, by name."""
    hidden, weight, bias, domains, weights, select, cu_seqlens = inputs(device)
    scalar = torch.tensor(0.5, device=device)
    constant = [t.detach() for t in (hidden, weight, bias)]
    _, gradient, row_weight, inverse = domain_forward(
        *constant, domains, weights, select, None, None, scalar, impl
    )
    target = torch.randn(N, D, device=device)
    yield domain_forward, (
        hidden, weight, bias, domains, weights, select, None, scalar, scalar, impl,
    )  # fmt: skip
    yield domain_forward, (
        hidden, weight, None, domains[:S], None, None, cu_seqlens, None, scalar, impl,
    )  # fmt: skip
    backward = (scalar, *constant, gradient, row_weight, inverse, scalar, impl)
    yield domain_backward, backward
    yield domain_backward, (*backward, False)
    for pooling in ("mean", "last"):
        yield pool_forward, (hidden, select, cu_seqlens, pooling, impl)
        pooled, where, _ = pool_forward(constant[0], select, cu_seqlens, pooling, impl)
        yield pool_backward, (pooled, where, select, cu_seqlens, N, torch.float32, pooling, impl)
    for metric in ("cosine", "mse", "smooth_l1"):
        _, factors, inverse = distance_forward(
            constant[0], target, weights, select, None, metric, impl
        )
        yield distance_forward, (hidden, target, weights, select, scalar, metric, impl)
        yield distance_backward, (scalar, constant[0], target, factors, inverse, metric, impl)
    few = target[:, :K].contiguous()
    yield projected_distance_forward, (hidden, weight, few, weights, None, "cosine", impl)
    _, factors, inverse = projected_distance_forward(
        *constant[:2], few, weights, None, "cosine", impl
    )
    yield projected_distance_backward, (
        scalar, *constant[:2], few, weights, factors, inverse, "cosine", impl,
    )  # fmt: skip
    index = torch.arange(N, device=device) % 5 - 1
    share = torch.rand(N, device=device)
    _, factors, inverse = distance_forward(constant[0], target, weights, select, None, "mse", impl)
    yield states_backward_operator, (
        constant[0], [target, target], [None, index], [None, share],
        [scalar, inverse, target, factors], "mse",
        [scalar, inverse, scalar, constant[1], gradient, row_weight], impl,
    )  # fmt: skip
    if impl == "torch":
        yield reversed_linear_forward, (hidden, weight, bias, scalar)
        yield reversed_linear_backward, (torch.randn(N, K, device=device), *constant, scalar)
        rows = torch.arange(0, N, 3, device=device)
        chosen = (rows, domains[rows], weights[rows])
        arguments = (hidden, weight, bias, *chosen, 3.0, 0.5)
        yield cross_entropy_rows, arguments
        yield cross_entropy_total, (*arguments, [True, True, True])
        frozen = (hidden, weight.detach(), None, *chosen, 3.0, 0.5)
        yield cross_entropy_total, (*frozen, [True, False, False])
        only_head = (constant[0], weight, constant[2], *chosen, None, 1.0)
        yield cross_entropy_total, (*only_head, [False, True, False])
        yield cross_entropy_total, (*constant, *chosen, 3.0, 0.5, [False, False, False])


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_opcheck(impl, device):
    for operator, arguments in cases(device, impl):
        torch.library.opcheck(operator, arguments)


def losses(device, impl):
    """Public functions of (hidden, weight, strength), each with a scalar result."""
    _, _, bias, domains, weights, select, cu_seqlens = inputs(device)
    target = torch.randn(N, D, device=device)

    def domain(pooling):
        def loss(hidden, weight, strength):
            few = pooling != "token"
            return domain_adversarial_loss(
                hidden, weight, bias, domains[:S] if few else domains, strength=strength,
                weights=weights[:S] if few else weights, select=select,
                cu_seqlens=cu_seqlens if few else None, pooling=pooling, impl=impl,
            )  # fmt: skip

        return loss

    yield "domain token", domain("token")
    yield "domain mean", domain("mean")
    yield "domain last", domain("last")
    yield (
        "alignment",
        lambda h, w, s: s * semantic_alignment_loss(h, target, weights=weights, impl=impl),
    )
    yield (
        "projected alignment",
        lambda h, w, s: (
            s
            * semantic_alignment_loss(
                h, target[:S, :K], projection=w, cu_seqlens=cu_seqlens, pooling="mean", impl=impl
            )
        ),
    )
    if impl == "torch":
        yield "reversed_linear", lambda h, w, s: reversed_linear(h, w, strength=s).square().mean()
        rows = torch.arange(0, N, 3, device=device)
        labels = domains.clone()
        labels[::5] = -100  # some among the rows: compiled, a neighbour counted them
        yield (
            "cross-entropy",
            lambda h, w, s: s * selected_cross_entropy(h, w, labels, weights=weights, rows=rows),
        )


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_compiled_equals_eager_and_the_sign_survives(impl, device):
    hidden, weight, *_ = inputs(device)
    strength = torch.tensor(0.7, device=device)
    for name, loss in losses(device, impl):
        want = loss(hidden, weight, strength)
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        got = compiled(hidden, weight, strength)
        torch.testing.assert_close(got, want, msg=lambda m, name=name: f"{name}: {m}")
        uses_weight = name != "alignment"
        wanted = (hidden, weight) if uses_weight else (hidden,)
        for a, b in zip(
            torch.autograd.grad(got, wanted), torch.autograd.grad(want, wanted), strict=True
        ):
            assert b.any(), name
            torch.testing.assert_close(a, b, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_functional_transforms_are_refused_or_reversed(impl, device):
    """`torch.func.grad` inside a compiled function once dropped custom backwards silently."""
    hidden, weight, *_ = inputs(device)
    strength = torch.tensor(0.7, device=device)
    for name, loss in losses(device, impl):
        if "alignment" in name or name == "cross-entropy":
            continue  # nothing reversed
        want = torch.autograd.grad(loss(hidden, weight, strength), hidden)[0]

        def gradient(h, loss=loss):
            return torch.func.grad(lambda x: loss(x, weight.detach(), strength))(h)

        with pytest.raises(RuntimeError, match="functorch"):
            gradient(hidden.detach())
        try:
            compiled = torch.compile(gradient, backend="aot_eager")(hidden.detach())
        except RuntimeError:
            continue  # refused is fine, lost is not
        torch.testing.assert_close(compiled, want, msg=name)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_strengths_and_lengths_do_not_recompile(impl, device):
    compilations = []

    def backend(graph, example_inputs):
        compilations.append(graph)
        return graph

    def step(hidden, weight, domains, weights, rows, strength):
        loss = domain_adversarial_loss(hidden, weight, None, domains, strength=strength, impl=impl)
        return loss + selected_cross_entropy(hidden, weight, domains, weights=weights, rows=rows)

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for i in range(6):
        hidden, weight, _, domains, weights, select, _ = inputs(device, n=20 + 7 * i)
        compiled(hidden, weight, domains, weights, select.nonzero().squeeze(1), 0.1 + 0.13 * i)
    assert len(compilations) <= 2
