"""`selected_cross_entropy` against plain Python arithmetic, gradcheck and its edge cases."""

import math

import pytest
import torch

from limbeck_kernels import selected_cross_entropy
from limbeck_kernels.cross_entropy import chunked, selected_cross_entropy_naive

DOUBLE = torch.float64


def make(n, d=5, v=11, seed=0, dtype=DOUBLE):
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=g, dtype=DOUBLE).to(dtype).requires_grad_()
    head = torch.randn(v, d, generator=g, dtype=DOUBLE).to(dtype).requires_grad_()
    bias = torch.randn(v, generator=g, dtype=DOUBLE).to(dtype).requires_grad_()
    labels = torch.randint(0, v, (n,), generator=g)
    weights = torch.tensor([0.0, 0.5, 1.0])[torch.randint(0, 3, (n,), generator=g)]
    labels[::7] = -100
    return hidden, head, bias, labels, weights


def by_hand(hidden, head, bias, labels, weights, softcap, scale):
    """Σ wᵢ·nllᵢ and Σ wᵢ with `math` alone."""
    total, mass = 0.0, 0.0
    for h, label, weight in zip(hidden.tolist(), labels.tolist(), weights.tolist(), strict=True):
        if weight == 0 or label == -100:
            continue
        logits = [
            scale * (sum(a * b for a, b in zip(h, w, strict=True)) + c)
            for w, c in zip(head.tolist(), bias.tolist(), strict=True)
        ]
        if softcap is not None:
            logits = [softcap * math.tanh(z / softcap) for z in logits]
        top = max(logits)
        logsumexp = top + math.log(sum(math.exp(z - top) for z in logits))
        total += weight * (logsumexp - logits[label])
        mass += weight
    return total, mass


@pytest.mark.parametrize("n", [1, 63, 200])
@pytest.mark.parametrize(("softcap", "scale"), [(None, 1.0), (3.0, 1.0), (None, 0.25), (2.0, 1.7)])
def test_value_is_the_definition(n, softcap, scale, monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 16)
    hidden, head, bias, labels, weights = make(n, seed=n)
    weights[-1] = 1.0
    labels[-1] = 3
    total, mass = by_hand(hidden, head, bias, labels, weights, softcap, scale)
    options = {"weights": weights, "bias": bias, "softcap": softcap, "scale": scale}
    loss = selected_cross_entropy(hidden, head, labels, **options)
    assert loss.item() == pytest.approx(total / mass, rel=1e-12)
    given = selected_cross_entropy(hidden, head, labels, normalizer=7.0, **options)
    assert given.item() == pytest.approx(total / 7.0, rel=1e-12)
    each = selected_cross_entropy(hidden, head, labels, reduction="none", **options)
    assert each.shape == (n,)
    assert each.sum().item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(("softcap", "scale"), [(None, 1.0), (2.0, 0.7)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradients_of_every_input(softcap, scale, reduction, monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 4)
    hidden, head, bias, labels, weights = make(13)

    def loss(hidden, head, bias):
        return selected_cross_entropy(
            hidden, head, labels, weights=weights, bias=bias, softcap=softcap, scale=scale,
            reduction=reduction,
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, (hidden, head, bias))


def test_rows_given_are_rows_found():
    hidden, head, _, labels, weights = make(63)
    rows = ((weights != 0) & (labels != -100)).nonzero().squeeze(1)
    found = selected_cross_entropy(hidden, head, labels, weights=weights)
    given = selected_cross_entropy(hidden, head, labels, weights=weights, rows=rows.flip(0))
    assert given.item() == pytest.approx(found.item(), rel=1e-14)
    # Rows that do not count may stand among the given ones.
    every = selected_cross_entropy(hidden, head, labels, weights=weights, rows=torch.arange(63))
    assert every.item() == pytest.approx(found.item(), rel=1e-14)


def test_batched_hidden_is_flattened_row_major():
    hidden, head, _, labels, weights = make(12)
    flat = selected_cross_entropy(hidden, head, labels, weights=weights)
    batched = selected_cross_entropy(
        hidden.view(3, 4, 5), head, labels.view(3, 4), weights=weights.view(3, 4)
    )
    assert torch.equal(flat, batched)


def test_nothing_selected_is_zero_with_zero_gradients():
    for n in (0, 5):
        hidden, head, bias, labels, _ = make(n)
        loss = selected_cross_entropy(hidden, head, labels, weights=torch.zeros(n), bias=bias)
        loss.backward()
        assert loss.item() == 0.0
        for tensor in (hidden, head, bias):
            assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_normalizer_zero_is_zero_with_zero_gradients():
    hidden, head, _, labels, weights = make(20)
    loss = selected_cross_entropy(
        hidden, head, labels, weights=weights, normalizer=torch.tensor(0.0)
    )
    loss.backward()
    assert loss.item() == 0.0
    assert not hidden.grad.any()
    assert not head.grad.any()


@pytest.mark.parametrize("given", [True, False])
def test_nan_in_rows_that_do_not_count_stays_there(given):
    hidden, head, _, labels, weights = make(40)
    rows = torch.arange(40) if given else None
    clean = selected_cross_entropy(hidden, head, labels, weights=weights)
    clean_gradients = torch.autograd.grad(clean, (hidden, head))
    dead = (weights == 0) | (labels == -100)
    poisoned = torch.where(dead[:, None], float("nan"), hidden.detach()).requires_grad_()
    loss = selected_cross_entropy(poisoned, head, labels, weights=weights, rows=rows)
    torch.testing.assert_close(loss, clean, rtol=1e-12, atol=0.0)
    for got, want in zip(torch.autograd.grad(loss, (poisoned, head)), clean_gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_micro_batches_with_the_common_normalizer_equal_the_whole():
    hidden, head, _, labels, weights = make(64, seed=3)
    whole = selected_cross_entropy(hidden, head, labels, weights=weights)
    whole_gradients = torch.autograd.grad(whole, (hidden, head))
    z = torch.where(labels == -100, 0, weights).sum()
    parts = sum(
        selected_cross_entropy(
            hidden[i : i + 8], head, labels[i : i + 8], weights=weights[i : i + 8], normalizer=z
        )
        for i in range(0, 64, 8)
    )
    assert abs(parts.item() - whole.item()) <= 1e-12
    for got, want in zip(torch.autograd.grad(parts, (hidden, head)), whole_gradients, strict=True):
        assert (got - want).abs().max() <= 1e-12


def test_backward_twice_and_a_scaled_upstream_gradient():
    hidden, head, _, labels, weights = make(20)
    loss = selected_cross_entropy(hidden, head, labels, weights=weights)
    once = torch.autograd.grad(loss, (hidden, head), retain_graph=True)
    again = torch.autograd.grad(3 * loss, (hidden, head))
    for a, b in zip(once, again, strict=True):
        torch.testing.assert_close(3 * a, b, rtol=1e-13, atol=1e-15)


def test_double_backward_raises():
    hidden, head, _, labels, weights = make(20)
    loss = selected_cross_entropy(hidden, head, labels, weights=weights)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(loss, hidden, create_graph=True)


def test_frozen_head_gets_no_gradient():
    hidden, head, _, labels, weights = make(20)
    selected_cross_entropy(hidden, head.detach(), labels, weights=weights).backward()
    reference = selected_cross_entropy_naive(hidden, head, labels, weights_N=weights)
    (want,) = torch.autograd.grad(reference, hidden)
    torch.testing.assert_close(hidden.grad, want, rtol=1e-12, atol=1e-14)
    assert head.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_error_is_that_of_the_working_dtype(dtype):
    """Half-precision loss and gradients: within twice the error of naive arithmetic in it."""
    hidden, head, _, labels, weights = make(300, d=32, v=64, seed=5)
    exact = selected_cross_entropy(hidden, head, labels, weights=weights)
    exact_gradients = torch.autograd.grad(exact, (hidden, head))
    low = [t.detach().to(dtype).requires_grad_() for t in (hidden, head)]
    loss = selected_cross_entropy(*low, labels, weights=weights)
    assert loss.dtype == torch.float32
    logits = (low[0] @ low[1].T).float()
    nll = torch.nn.functional.cross_entropy(logits, labels, reduction="none", ignore_index=-100)
    effective = torch.where(labels == -100, 0, weights)
    rival = (nll * effective).sum() / effective.sum()
    rival_gradients = torch.autograd.grad(rival, low)
    assert abs(loss - exact) <= 2 * abs(rival - exact) + 1e-3
    for got, other, want in zip(
        torch.autograd.grad(loss, low), rival_gradients, exact_gradients, strict=True
    ):
        assert got.dtype == dtype
        assert (got - want).norm() <= 2 * (other - want).norm() + 1e-6


def test_fp16_gradient_survives_a_large_normalizer():
    hidden, head, _, labels, weights = make(50)
    gradients = {}
    for z in (1.0, 1e6):
        low = [t.detach().half().requires_grad_() for t in (hidden, head)]
        each = selected_cross_entropy(*low, labels, weights=weights, reduction="none")
        # A loss scale of 1e6 as a GradScaler would apply: the result must be that of z = 1.
        (each.sum() / z * z).backward()
        gradients[z] = low[1].grad
    torch.testing.assert_close(gradients[1.0], gradients[1e6])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impl": "triton"}, "no Triton path"),
        ({"impl": "cuda"}, "impl is 'cuda'"),
        ({"reduction": "sum"}, "reduction is 'sum'"),
        ({"reduction": "none", "normalizer": 1.0}, "takes no normalizer"),
        ({"weights": torch.ones(3)}, "weights has shape"),
        ({"weights": torch.ones(9, requires_grad=True)}, "weights gets no gradient"),
        ({"hidden": torch.ones(9, dtype=torch.int64)}, "hidden has shape"),
        ({"head_weight": torch.ones(4, 6)}, "head_weight has shape"),
    ],
)
def test_bad_arguments_are_named(change, message):
    hidden, head, _, labels, weights = make(9)
    arguments = {"hidden": hidden, "head_weight": head, "labels": labels, "weights": weights}
    with pytest.raises(ValueError, match=message):
        selected_cross_entropy(**(arguments | change))
