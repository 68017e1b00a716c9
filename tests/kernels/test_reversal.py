"""`reversed_linear` against its definition."""

import pytest
import torch

from limbeck_kernels import reversed_linear
from limbeck_kernels.reversal import reversed_linear_naive


def make(dtype=torch.float64, *, n=13, d=9, h=7):
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, d, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(h, d, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    bias = torch.randn(h, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    return hidden, weight, bias


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(13, 9), (1, 13, 9), (0, 9)])
def test_value_and_gradients(with_bias, shape):
    hidden, weight, bias = make()
    hidden = hidden.detach()[: shape[0] if len(shape) == 2 else 13].view(shape).requires_grad_()
    bias = bias if with_bias else None
    inputs = [t for t in (hidden, weight, bias) if t is not None]
    got = reversed_linear(hidden, weight, bias, strength=torch.tensor(0.3))
    want = reversed_linear_naive(hidden, weight, bias, strength=torch.tensor(0.3).double())
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad(got, inputs, upstream),
        torch.autograd.grad(want, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_gradcheck_with_the_reversal_turned_off():
    hidden, weight, bias = make()
    assert torch.autograd.gradcheck(
        lambda h, w, b: reversed_linear(h, w, b, strength=-1.0), (hidden, weight, bias)
    )


def test_a_reversal_below_two_layers_reverses_neither_layer():
    """The classifier learns, the states unlearn: λ on the last layer turns the first around."""
    hidden, first, bias = make()
    last = torch.randn(3, 7, dtype=torch.float64)

    def loss(h, w):
        return ((h @ w.T + bias).relu() @ last.T).square().mean()

    plain = torch.autograd.grad(loss(hidden, first), (hidden, first))
    ours = (reversed_linear(hidden, first, bias, strength=0.5).relu() @ last.T).square().mean()
    got = torch.autograd.grad(ours, (hidden, first))
    torch.testing.assert_close(got[0], -0.5 * plain[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(got[1], plain[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_the_weight_in_fp32(dtype):
    """4096 equal contributions: a sum kept in bf16 would stop growing at 256 of them."""
    hidden = torch.ones(4096, 4, dtype=dtype)
    weight = torch.zeros(2, 4, requires_grad=True)
    reversed_linear(hidden, weight, strength=1.0).sum().backward()
    assert torch.equal(weight.grad, torch.full((2, 4), 4096.0))


def test_a_small_strength_keeps_its_digits_in_fp16():
    """λ·W would be 2·10⁻⁷, which fp16 holds to one digit; under a loss scale the product is not."""
    hidden, weight, _ = make(torch.float16)
    weight = (weight.detach() * 0.02).requires_grad_()
    loss = reversed_linear(hidden, weight, strength=1e-5).sum() * 2.0**14
    (got,) = torch.autograd.grad(loss, hidden)
    want = -1e-5 * 2.0**14 * weight.double().sum(0).expand_as(got)
    torch.testing.assert_close(got.double(), want, rtol=4e-3, atol=1e-6)


def test_double_backward_raises():
    hidden, weight, bias = make()
    layer = reversed_linear(hidden, weight, bias, strength=1.0)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(layer.square().sum(), hidden, create_graph=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.ones(7, 8)}, "weight has shape"),
        ({"bias": torch.ones(3)}, "bias has shape"),
        ({"impl": "triton"}, "no Triton path"),
        ({"hidden": torch.ones(9)}, "hidden has shape"),
    ],
)
def test_bad_arguments_are_named(change, message):
    hidden, weight, bias = make()
    arguments = {"hidden": hidden, "weight": weight, "bias": bias, "strength": 1.0}
    with pytest.raises(ValueError, match=message):
        reversed_linear(**(arguments | change))
