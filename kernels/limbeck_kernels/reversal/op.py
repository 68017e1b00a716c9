"""`limbeck::reversed_linear`: the layer as operators, so that its sign survives any compiler."""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, product, refuse_double_backward


@torch.library.custom_op(
    "limbeck::reversed_linear",
    mutates_args=(),
    schema="(Tensor hidden, Tensor weight, Tensor? bias, Tensor strength) -> Tensor",
)
def reversed_linear_forward(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, strength: Tensor
) -> Tensor:
    """Return `hidden @ weightᵀ + bias` in the dtype of `hidden`: equation (1)."""
    dtype = hidden.dtype
    with torch.autocast(hidden.device.type, enabled=False):
        return F.linear(hidden, weight.to(dtype), None if bias is None else bias.to(dtype))


@reversed_linear_forward.register_fake
def _forward_fake(hidden: Tensor, weight: Tensor, bias: Tensor | None, strength: Tensor) -> Tensor:
    return hidden.new_empty((hidden.shape[0], weight.shape[0]))


@torch.library.custom_op(
    "limbeck::reversed_linear_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor hidden, Tensor weight, Tensor? bias, Tensor strength) "
    "-> (Tensor, Tensor, Tensor)",
)
def reversed_linear_backward(
    grad: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, strength: Tensor
) -> tuple[Tensor, ...]:
    """Return the gradients of hidden, weight and bias (empty without one): (2)–(4)."""
    dtype = accumulation_dtype(hidden.dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        grad = grad.to(hidden.dtype)
        if hidden.dtype == torch.float16:  # a small λ·W would sink into fp16's denormals
            d_hidden = (grad @ weight.to(hidden.dtype)).mul_(-strength)
        else:  # −λ goes into the [H, D] weight: one small pass instead of one over [N, D]
            d_hidden = grad @ (weight.to(dtype) * -strength.to(dtype)).to(hidden.dtype)
        d_weight = product(grad.T, hidden, dtype).to(weight.dtype)
        if bias is None:
            return d_hidden, d_weight, weight.new_empty(0)
        return d_hidden, d_weight, grad.sum(0, dtype=dtype).to(bias.dtype)


@reversed_linear_backward.register_fake
def _backward_fake(
    grad: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, strength: Tensor
) -> tuple[Tensor, ...]:
    return (
        hidden.new_empty(hidden.shape),
        weight.new_empty(weight.shape),
        weight.new_empty(0) if bias is None else bias.new_empty(bias.shape),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    refuse_double_backward("reversed_linear")
    hidden, weight, bias, strength = ctx.saved_tensors
    d_hidden, d_weight, d_bias = reversed_linear_backward(grad, hidden, weight, bias, strength)
    return d_hidden, d_weight, None if bias is None else d_bias, None


reversed_linear_forward.register_autograd(_differentiate, setup_context=_save)
