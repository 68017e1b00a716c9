"""`domain_adversarial_loss` against its definition in float64, and its neighbours' bugs."""

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck_kernels import domain_adversarial_loss
from limbeck_kernels.domain import domain_adversarial_naive, lean

DOUBLE = torch.float64
POOLINGS = ["token", "spread", "mean", "last"]  # spread: per token, the domain of its segment
STRENGTH = 0.3


def make(n, k, pooling="token", *, d=896, dtype=torch.float32, seed=0, device="cpu", bias=True):
    """Inputs of one call, with masked rows, an empty segment, a tail and a −100."""
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=g).to(device, dtype).requires_grad_()
    weight = (torch.randn(k, d, generator=g) / d**0.5).to(device, dtype).requires_grad_()
    b = torch.randn(k, generator=g).to(device).requires_grad_() if bias else None
    cu_seqlens = None
    segments = n
    if pooling != "token":
        cu_seqlens = torch.tensor([0, n // 5, n // 5, n // 2, n - n // 10]).to(device)
        segments = 4
    items = n if pooling in ("token", "spread") else segments
    domains = torch.randint(0, k, (segments,), generator=g)
    if segments > 3:
        domains[3] = -100 if pooling == "token" else domains[3]
    options = {
        "weights": torch.rand(items, generator=g).to(device) + 0.1,
        "select": (torch.rand(n, generator=g) < 0.7).to(device),
        "cu_seqlens": cu_seqlens,
        "pooling": "token" if pooling == "spread" else pooling,
    }
    return hidden, weight, b, domains.to(device), options


def gradients(loss, *inputs):
    return [loss.detach(), *torch.autograd.grad(loss, [t for t in inputs if t is not None])]


def exact(hidden, weight, bias, domains, options, strength=STRENGTH):
    """Loss and gradients of the definition in float64."""
    h, w = (t.detach().double().requires_grad_() for t in (hidden, weight))
    b = None if bias is None else bias.detach().double().requires_grad_()
    loss = domain_adversarial_naive(
        h, w, b, domains, strength=torch.tensor(strength), weights_I=options["weights"],
        select_N=options["select"], cu_seqlens=options["cu_seqlens"], pooling=options["pooling"],
        normalizer=options.get("normalizer"),
    )  # fmt: skip
    return gradients(loss, h, w, b)


def eager(hidden, weight, bias, domains, options):
    """The same maths as autocast would do it: products in the working dtype, the rest in fp32."""
    loss = domain_adversarial_naive(
        hidden, weight, bias, domains, strength=torch.tensor(STRENGTH),
        weights_I=options["weights"], select_N=options["select"],
        cu_seqlens=options["cu_seqlens"], pooling=options["pooling"],
    )  # fmt: skip
    return gradients(loss, hidden, weight, bias)


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("n", "k", "pooling"),
    [(1, 1, "token"), (63, 4, "token"), (63, 64, "token"), (2000, 12, "token")]
    + [(63, k, p) for p in POOLINGS[1:] for k in (1, 12)]
    + [(500, 4, p) for p in POOLINGS[1:]],
)
def test_value_and_every_gradient(n, k, pooling, dtype, impl, device, close):
    # Interpreted fp32 tiles are small and many: long and wide at once is left to fp16.
    d = 96 if n >= 500 and dtype == torch.float32 and impl == "triton" else 896
    hidden, weight, bias, domains, options = make(n, k, pooling, d=d, dtype=dtype, device=device)
    if n == 1:
        options["select"][:] = True
    loss = domain_adversarial_loss(
        hidden, weight, bias, domains, strength=STRENGTH, impl=impl, **options
    )
    assert loss.dtype == torch.float32
    got = gradients(loss, hidden, weight, bias)
    assert [t.dtype for t in got[1:]] == [dtype, dtype, torch.float32]
    want = exact(hidden, weight, bias, domains, options)
    close(got, want, eager(hidden, weight, bias, domains, options), 1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradcheck_of_the_torch_path(pooling, monkeypatch):
    monkeypatch.setattr(lean, "CHUNK_ROWS", 7)
    hidden, weight, bias, domains, options = make(23, 3, pooling, d=5, dtype=DOUBLE)
    bias = bias.detach().double().requires_grad_()
    # gradcheck sees the true derivative: λ = −1 turns the reversal off.
    assert torch.autograd.gradcheck(
        lambda h, w, b: domain_adversarial_loss(h, w, b, domains, strength=-1.0, **options),
        (hidden, weight, bias),
    )


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_no_row_counts(pooling, impl, device):
    for n in (0, 20):
        hidden, weight, bias, domains, options = make(n, 4, pooling, d=40, device=device)
        for change in ({"select": torch.zeros_like(options["select"])}, {"normalizer": 0.0}):
            loss = domain_adversarial_loss(
                hidden, weight, bias, domains, strength=STRENGTH, impl=impl, **(options | change)
            )
            for value in gradients(loss, hidden, weight, bias):
                assert not value.any()


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_does_not_count_does_not_matter(pooling, impl, device):
    hidden, weight, bias, domains, options = make(63, 4, pooling, d=40, device=device)
    dead = ~options["select"]
    if pooling == "token":
        dead = dead | (domains == -100)
    else:
        dead[63 - 6 :] = True  # the tail
        options["weights"][0] = 0.0
        dead[: 1 if pooling == "spread" else 12] = True
    clean = gradients(
        domain_adversarial_loss(
            hidden, weight, bias, domains, strength=STRENGTH, impl=impl, **options
        ),
        hidden, weight, bias,
    )  # fmt: skip
    for poison in (math.nan, math.inf):
        states = torch.where(dead[:, None], poison, hidden.detach()).requires_grad_()
        loss = domain_adversarial_loss(
            states, weight, bias, domains, strength=STRENGTH, impl=impl, **options
        )
        for got, want in zip(gradients(loss, states, weight, bias), clean, strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_states_with_strides_and_leading_dimensions(impl, device):
    hidden, weight, bias, domains, options = make(60, 4, d=40, device=device)
    want = gradients(
        domain_adversarial_loss(hidden, weight, bias, domains, strength=1.0, impl=impl, **options),
        hidden,
    )
    wide = torch.full((60, 3, 40), math.nan, device=device)
    wide[:, 1] = hidden.detach()
    views = {
        "rows apart": wide[:, 1].requires_grad_(),
        "columns apart": hidden.detach().T.contiguous().T.requires_grad_(),
        "batched": hidden.detach().view(3, 20, 40).requires_grad_(),
    }
    for view in views.values():
        loss = domain_adversarial_loss(
            view, weight, bias, domains, strength=1.0, impl=impl, **options
        )
        got = gradients(loss, view)
        assert got[1].shape == view.shape
        # The kernel reads the same numbers in the same order; a BLAS may pick another one.
        tolerance = 0 if impl == "triton" else 1e-5
        torch.testing.assert_close(got[0], want[0], rtol=tolerance, atol=0)
        torch.testing.assert_close(got[1].reshape(60, 40), want[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_upstream_gradient_and_backward_twice(impl, device):
    hidden, weight, bias, domains, options = make(63, 4, "mean", d=40, device=device)
    loss = domain_adversarial_loss(
        hidden, weight, bias, domains, strength=STRENGTH, impl=impl, **options
    )
    inputs = (hidden, weight, bias)
    once = torch.autograd.grad(loss, inputs, retain_graph=True)
    again = torch.autograd.grad(loss, inputs, retain_graph=True)
    scaled = torch.autograd.grad(4 * loss, inputs)
    for a, b, c in zip(once, again, scaled, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(4 * a, c, rtol=1e-6, atol=0)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_double_backward_raises(impl, device):
    hidden, weight, bias, domains, options = make(20, 4, d=40, device=device)
    loss = domain_adversarial_loss(
        hidden, weight, bias, domains, strength=STRENGTH, impl=impl, **options
    )
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(loss, hidden, create_graph=True)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_only_the_states_are_reversed(impl, device):
    """λ scales the states' gradient alone, with the other sign; the value knows nothing of λ."""
    hidden, weight, bias, domains, options = make(63, 4, d=40, device=device)

    def at(strength):
        loss = domain_adversarial_loss(
            hidden, weight, bias, domains, strength=strength, impl=impl, **options
        )
        return gradients(loss, hidden, weight, bias)

    plain, half, tensor = at(-1.0), at(0.5), at(torch.tensor(0.5, dtype=DOUBLE))
    torch.testing.assert_close(half[1], -0.5 * plain[1], rtol=1e-6, atol=0)
    for got, same, want in zip(half, tensor, plain, strict=True):
        assert torch.equal(got, same)
        if got.shape != hidden.shape:
            assert torch.equal(got, want)


def test_micro_batches_with_the_common_normalizer_equal_the_whole():
    hidden, weight, bias, domains, options = make(64, 4, d=9, dtype=DOUBLE)
    weights, select = options["weights"], options["select"]
    z = weights[select & (domains != -100)].double().sum()
    want = gradients(
        domain_adversarial_loss(
            hidden, weight, bias, domains, strength=STRENGTH, weights=weights, select=select
        ),
        hidden, weight, bias,
    )  # fmt: skip
    parts = sum(
        domain_adversarial_loss(
            hidden[i : i + 8], weight, bias, domains[i : i + 8], strength=STRENGTH,
            weights=weights[i : i + 8], select=select[i : i + 8], normalizer=z,
        )
        for i in range(0, 64, 8)
    )  # fmt: skip
    for got, expected in zip(gradients(parts, hidden, weight, bias), want, strict=True):
        tolerance = 1e-6 if expected.dtype == torch.float32 else 1e-12
        assert (got - expected).abs().max() <= tolerance


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("normalizer", [32_768.0, 1_048_576.0])
def test_a_large_normalizer_leaves_fp16_its_digits(impl, normalizer, device):
    """Under a loss scale the gradients equal those of normalizer 1: 1/Z never meets fp16."""
    hidden, weight, bias, domains, options = make(63, 4, dtype=torch.float16, device=device)

    def at(z):
        loss = domain_adversarial_loss(
            hidden, weight, bias, domains, strength=1.0, impl=impl, normalizer=z, **options
        )
        return torch.autograd.grad(z * loss, (hidden, weight))

    for got, want in zip(at(normalizer), at(1.0), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_weights_of_any_size_leave_fp16_its_digits(impl, device):
    """Weights 1/Ns and 1/Nt, and rows a million times lighter than their neighbours."""
    hidden, weight, bias, domains, options = make(63, 4, dtype=torch.float16, device=device)
    weight = weight.detach().float().requires_grad_()
    options["weights"] = torch.logspace(-9, -3, 63, device=device)
    # Summed up by the normalizer, so that the gradients themselves are far from fp16's denormals.
    options["normalizer"] = 1e-9
    loss = domain_adversarial_loss(
        hidden, weight, bias, domains, strength=1e-3, impl=impl, **options
    )
    got = gradients(loss, hidden, weight)
    want = exact(hidden, weight, bias, domains, options, strength=1e-3)
    rows = want[1].norm(dim=1) > 1e-4
    error = (got[1].double() - want[1]).norm(dim=1)[rows] / want[1].norm(dim=1)[rows]
    assert rows.sum() > 20
    assert error.max() < 2e-3


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_classifier_near_equilibrium_keeps_its_gradient(dtype, impl, device):
    """Twelve domains at 1/12 each and a large mean of the states: casting g would bias dW.

    The cast of g rounds every row the same way, so its error does not average out; autocast loses
    tens of per cent here.
    """
    g = torch.Generator().manual_seed(0)
    n, d, k = 960, 64, 12
    hidden = (12 + torch.randn(n, d, generator=g)).to(device, dtype)
    weight = torch.zeros(k, d, device=device, dtype=torch.float32, requires_grad=True)
    domains = (torch.arange(n) % k).to(device)
    weight_exact = weight.detach().double().requires_grad_()
    loss = domain_adversarial_naive(
        hidden.double(), weight_exact, None, domains, strength=torch.tensor(1.0)
    )
    (want,) = torch.autograd.grad(loss, weight_exact)
    ours = domain_adversarial_loss(hidden, weight, None, domains, strength=1.0, impl=impl)
    (got,) = torch.autograd.grad(ours, weight)
    assert (got.double() - want).norm() / want.norm() <= 5e-4

    logits_gradient = (torch.full((n, k), 1 / k) - F.one_hot(domains.cpu(), k)).to(dtype)
    cast = (logits_gradient.double().T @ hidden.cpu().double()) / n
    rival = (cast - want.cpu()).norm() / want.cpu().norm()
    if dtype == torch.bfloat16:
        assert rival > 0.05  # the fault is real, and not ours


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_a_sure_classifier_keeps_its_gradient(impl, device):
    """At p = 0.999 and beyond the true class's gradient is −Σ of the others, not p − 1."""
    hidden = torch.zeros(1, 16, device=device)
    hidden[0, 0] = 1.0
    for margin in (7.0, 14.0, 25.0):
        weight = torch.zeros(2, 16, device=device)
        weight[0, 0] = margin
        weight.requires_grad_()
        domains = torch.zeros(1, dtype=torch.int64, device=device)
        loss = domain_adversarial_loss(hidden, weight, None, domains, strength=1.0, impl=impl)
        loss.backward()
        assert weight.grad[0, 0].item() == pytest.approx(-1 / (1 + math.exp(margin)), rel=1e-5)


def test_an_unknown_domain_is_loud(device):
    pytest.importorskip("triton", reason="triton is not installed")
    hidden, weight, bias, domains, options = make(20, 4, d=40, device=device)
    options["select"][:] = True
    for wrong in (4, -1):
        domains[5] = wrong
        loss = domain_adversarial_loss(
            hidden, weight, bias, domains, strength=1.0, impl="triton", **options
        )
        assert loss.isnan()


@pytest.mark.parametrize("impl", ["triton", "torch"])
def test_autocast_changes_nothing(impl, device):
    hidden, weight, bias, domains, options = make(63, 4, d=40, device=device)
    plain = domain_adversarial_loss(
        hidden, weight, bias, domains, strength=1.0, impl=impl, **options
    )
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = domain_adversarial_loss(
            hidden, weight, bias, domains, strength=1.0, impl=impl, **options
        )
    assert torch.equal(loss, plain)
    got = torch.autograd.grad(loss, (hidden, weight, bias))
    for a, b in zip(got, torch.autograd.grad(plain, (hidden, weight, bias)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impl": "cuda"}, "impl is 'cuda'"),
        ({"weight": torch.ones(4, 7)}, "weight has shape"),
        ({"bias": torch.ones(3)}, "bias has shape"),
        ({"domains": torch.zeros(3, dtype=torch.int64)}, "domains has shape"),
        ({"pooling": "mean"}, "needs cu_seqlens"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"weights": torch.ones(20, requires_grad=True)}, "weights gets no gradient"),
        ({"select": torch.ones(3, dtype=torch.bool)}, "select has shape"),
        ({"impl": "triton", "weight": torch.ones(65, 40), "bias": None}, "65 domains"),
        ({"impl": "triton", "hidden": torch.ones(20, 40, dtype=DOUBLE)}, "float64 states"),
    ],
)
def test_bad_arguments_are_named(change, message):
    hidden, weight, bias, domains, _ = make(20, 4, d=40)
    arguments = {"hidden": hidden, "weight": weight, "bias": bias, "domains": domains}
    with pytest.raises(ValueError, match=message):
        domain_adversarial_loss(**(arguments | {"strength": 1.0} | change))


def test_more_domains_than_a_tile_take_the_torch_path(device):
    hidden, weight, bias, domains, options = make(63, 80, d=40, device=device)
    loss = domain_adversarial_loss(hidden, weight, bias, domains, strength=1.0, **options)
    want = exact(hidden, weight, bias, domains, options, strength=1.0)
    torch.testing.assert_close(loss.double(), want[0], rtol=1e-6, atol=0)
