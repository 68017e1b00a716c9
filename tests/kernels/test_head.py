"""`distillation_head`: the three losses as one node, equal to the three by themselves."""

import sys
from pathlib import Path

import pytest
import torch

from limbeck_kernels import distillation_head
from limbeck_kernels.head import distillation_head_naive
from limbeck_kernels.launch import interpreted

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "kernels"))
import traffic

N, D, V, K, E = 90, 40, 23, 4, 24
CU_SEQLENS = [0, 20, 20, 55, 83]
S = len(CU_SEQLENS) - 1


def make(device, *, dtype=torch.float32, pooling="token", projected=False, metric="cosine"):
    """States, parameters by name, and the arguments of the three terms."""
    g = torch.Generator().manual_seed(0)

    def random(*shape, scale=1.0, kind=dtype):
        return (scale * torch.randn(*shape, generator=g)).to(device, kind)

    hidden = random(N, D).requires_grad_()
    head = random(V, D, scale=D**-0.5).requires_grad_()
    head_bias = random(V).requires_grad_()
    classifier = random(K, D, scale=D**-0.5).requires_grad_()
    classifier_bias = random(K).requires_grad_()
    projection = random(E, D, scale=D**-0.5).requires_grad_() if projected else None
    select = (torch.rand(N, generator=g) < 0.7).to(device)
    items = N if pooling == "token" else S
    starts = None if pooling == "token" else torch.tensor(CU_SEQLENS, device=device)
    weights = torch.rand(N, generator=g).to(device)
    weights[::3] = 0.0
    pooled = {"select": select, "cu_seqlens": starts, "pooling": pooling}
    terms = {
        "cross_entropy": {
            "head_weight": head, "bias": head_bias, "weights": weights, "softcap": 5.0,
            "labels": torch.randint(0, V, (N,), generator=g).to(device),
        },
        "alignment": {
            "target": random(items, E if projected else D), "metric": metric, **pooled,
            "projection": projection, "weights": torch.rand(items, generator=g).to(device),
        },
        "domain": {
            "weight": classifier, "bias": classifier_bias, "strength": 0.4, **pooled,
            "domains": torch.randint(0, K, (items,), generator=g).to(device),
            "weights": torch.rand(items, generator=g).to(device),
        },
    }  # fmt: skip
    parameters = [head, head_bias, projection, classifier, classifier_bias]
    return hidden, [p for p in parameters if p is not None], terms


def with_impl(terms, impl):
    return {k: v if k == "cross_entropy" else v | {"impl": impl} for k, v in terms.items()}


def total(losses):
    """A sum with unequal upstream gradients, so that none can pass for another."""
    return sum(
        c * loss for c, loss in zip((1.0, 0.3, -2.0), losses, strict=True) if loss is not None
    )


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("pooling", ["token", "mean", "last"])
def test_equals_its_three_losses(pooling, projected, impl, device):
    hidden, parameters, terms = make(device, pooling=pooling, projected=projected)
    terms = with_impl(terms, impl)
    got, want = distillation_head(hidden, **terms), distillation_head_naive(hidden, **terms)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(
        torch.autograd.grad(total(got), (hidden, *parameters)),
        torch.autograd.grad(total(want), (hidden, *parameters)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("metric", ["cosine", "mse", "smooth_l1"])
def test_half_precision_is_no_worse_than_three_gradients_added(metric, impl, device, close):
    hidden, parameters, terms = make(device, dtype=torch.float16, metric=metric)

    def gradients(losses, states):
        return [total(losses).detach(), *torch.autograd.grad(total(losses), (states, *parameters))]

    exact_hidden = hidden.detach().double().requires_grad_()
    exact_terms = {
        name: {
            k: v.detach().double().requires_grad_(v.requires_grad)
            if isinstance(v, torch.Tensor) and v.is_floating_point() else v
            for k, v in term.items()
        }
        for name, term in terms.items()
    }  # fmt: skip
    exact_losses = distillation_head_naive(exact_hidden, **exact_terms)
    (exact,) = torch.autograd.grad(total(exact_losses), exact_hidden)
    got = gradients(distillation_head(hidden, **with_impl(terms, impl)), hidden)
    rival = gradients(distillation_head_naive(hidden, **with_impl(terms, impl)), hidden)
    want = [total(exact_losses).detach(), exact]
    close(got[:2], want, rival[:2], 1e-6)


def test_gradcheck_of_the_torch_path():
    hidden, parameters, terms = make("cpu", dtype=torch.float64, pooling="mean", projected=True)
    terms["domain"]["strength"] = -1.0  # no reversal: the true derivative
    short = {"rows": torch.arange(1, N, 3)}
    terms["cross_entropy"] |= short

    def loss(hidden, *changed):
        head, head_bias, projection, classifier, classifier_bias = changed
        return total(
            distillation_head(
                hidden,
                cross_entropy=terms["cross_entropy"] | {"head_weight": head, "bias": head_bias},
                alignment=terms["alignment"] | {"projection": projection},
                domain=terms["domain"] | {"weight": classifier, "bias": classifier_bias},
            )
        )

    assert torch.autograd.gradcheck(loss, (hidden, *parameters), fast_mode=True)


@pytest.mark.parametrize("name", ["cross_entropy", "alignment", "domain"])
def test_any_term_alone_and_losses_that_are_not_used(name, device):
    hidden, _, terms = make(device)
    alone = distillation_head(hidden, **{name: terms[name]})
    assert [loss is not None for loss in alone] == [k == name for k in terms]
    (want,) = torch.autograd.grad(getattr(alone, name), hidden)
    among = distillation_head(hidden, **terms)
    (got,) = torch.autograd.grad(getattr(among, name), hidden)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


def test_frozen_parameters_get_no_gradient(device):
    hidden, _, terms = make(device)
    frozen = {
        name: {
            k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in term.items()
        }
        for name, term in terms.items()
    }  # fmt: skip
    total(distillation_head(hidden, **frozen)).backward()
    (want,) = torch.autograd.grad(total(distillation_head_naive(hidden, **terms)), hidden)
    torch.testing.assert_close(hidden.grad, want, rtol=1e-5, atol=1e-6)


def test_double_backward_raises(device):
    hidden, _, terms = make(device)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(total(distillation_head(hidden, **terms)), hidden, create_graph=True)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_compiled_as_one_graph(impl, device):
    torch._dynamo.reset()
    hidden, parameters, terms = make(device, pooling="mean", projected=True)
    terms = with_impl(terms, impl)
    # Rows that the collator knows: finding them is a shape that depends on data.
    terms["cross_entropy"]["rows"] = terms["cross_entropy"]["weights"].nonzero().squeeze(1)

    def step(states):
        return total(distillation_head(states, **terms))

    want, got = step(hidden), torch.compile(step, fullgraph=True, backend="aot_eager")(hidden)
    torch.testing.assert_close(got, want)
    for a, b in zip(
        torch.autograd.grad(got, (hidden, *parameters)),
        torch.autograd.grad(want, (hidden, *parameters)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.skipif(not interpreted(), reason="bytes are counted in the interpreter")
@pytest.mark.parametrize("pooling", ["token", "mean"])
def test_the_gradient_of_the_states_is_written_once(pooling):
    pytest.importorskip("triton", reason="triton is not installed")
    hidden, parameters, terms = make("cpu", dtype=torch.float16, pooling=pooling)
    losses = distillation_head(hidden, **with_impl(terms, "triton"))
    with traffic.Traffic() as watched:
        gradients = torch.autograd.grad(total(losses), (hidden, *parameters))
    assert watched.unique("written", gradients[0]) == N * D * 2
    assert watched.rewritten == 0
    assert watched.launches.count("states_backward_kernel") == 1
    # A pooled distance has its own small backward; a spread over the tokens nobody has.
    assert "spread_kernel" not in watched.launches
    assert ("distance_backward_kernel" in watched.launches) == (pooling == "mean")


def test_no_term_is_refused(device):
    with pytest.raises(ValueError, match="no term"):
        distillation_head(torch.ones(2, 3, device=device))
    with pytest.raises(TypeError, match="wieghts"):
        distillation_head(
            torch.ones(2, 3, device=device), alignment={"target": torch.ones(2, 3), "wieghts": 1}
        )
