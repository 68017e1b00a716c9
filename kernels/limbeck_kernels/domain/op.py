"""`limbeck::domain_forward` and `limbeck::domain_backward`: the row-wise loss as operators.

Operators, not an `autograd.Function`: the compiler sees one opaque call with a fake, so the sign
of the reversal cannot be traced away, and λ, Z and the upstream gradient stay on the device.
"""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, refuse_double_backward
from limbeck_kernels.domain import lean
from limbeck_kernels.domain.tiles import padded_domains


def _implementation(impl: str, which: str) -> Any:
    if impl == "torch":
        return getattr(lean, which)
    # Triton is imported where a kernel is about to run, and nowhere else.
    from limbeck_kernels.domain import backward, forward  # noqa: PLC0415

    return {"rows_forward": forward.rows_forward, "rows_backward": backward.rows_backward}[which]


@torch.library.custom_op(
    "limbeck::domain_forward",
    mutates_args=(),
    schema="(Tensor hidden, Tensor weight, Tensor? bias, Tensor domains, Tensor? weights, "
    "Tensor? select, Tensor? cu_seqlens, Tensor? normalizer, Tensor strength, str impl) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
)
def domain_forward(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    domains: Tensor,
    weights: Tensor | None,
    select: Tensor | None,
    cu_seqlens: Tensor | None,
    normalizer: Tensor | None,
    strength: Tensor,
    impl: str,
) -> tuple[Tensor, ...]:
    """Return the loss, the logits' unnormalised gradient, the effective weights and 1/Z."""
    with torch.autocast(hidden.device.type, enabled=False):
        return tuple(
            _implementation(impl, "rows_forward")(
                hidden, weight, bias, domains, weights, select, cu_seqlens, normalizer
            )
        )


@domain_forward.register_fake
def _domain_forward_fake(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    domains: Tensor,
    weights: Tensor | None,
    select: Tensor | None,
    cu_seqlens: Tensor | None,
    normalizer: Tensor | None,
    strength: Tensor,
    impl: str,
) -> tuple[Tensor, ...]:
    n_rows, n_domains = hidden.shape[0], weight.shape[0]
    dtype = accumulation_dtype(hidden.dtype)
    columns = padded_domains(n_domains) if impl == "triton" else n_domains
    return (
        hidden.new_empty((), dtype=dtype),
        hidden.new_empty((n_rows, columns), dtype=dtype),
        hidden.new_empty((n_rows,), dtype=dtype),
        hidden.new_empty((), dtype=dtype),
    )


@torch.library.custom_op(
    "limbeck::domain_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor hidden, Tensor weight, Tensor? bias, Tensor gradient, "
    "Tensor row_weight, Tensor inverse, Tensor strength, str impl, bool states=True) "
    "-> (Tensor, Tensor, Tensor)",
)
def domain_backward(
    grad: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    row_weight: Tensor,
    inverse: Tensor,
    strength: Tensor,
    impl: str,
    states: bool = True,
) -> tuple[Tensor, ...]:
    """Return the gradients of hidden (empty unless wanted), weight and bias (empty without)."""
    with torch.autocast(hidden.device.type, enabled=False):
        return tuple(
            _implementation(impl, "rows_backward")(
                grad, hidden, weight, bias, gradient, row_weight, inverse, strength, states
            )
        )


@domain_backward.register_fake
def _domain_backward_fake(
    grad: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    row_weight: Tensor,
    inverse: Tensor,
    strength: Tensor,
    impl: str,
    states: bool = True,
) -> tuple[Tensor, ...]:
    return (
        hidden.new_empty(hidden.shape if states else 0),
        weight.new_empty(weight.shape),
        weight.new_empty(0) if bias is None else bias.new_empty(bias.shape),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, weight, bias, *_, strength, impl = inputs
    _, gradient, row_weight, inverse = output
    ctx.impl = impl
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(gradient, row_weight, inverse)
    ctx.save_for_backward(hidden, weight, bias, gradient, row_weight, inverse, strength)


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    refuse_double_backward("domain_adversarial_loss")
    if grad is None:
        return (None,) * 10
    hidden, weight, bias, *rest = ctx.saved_tensors
    d_hidden, d_weight, d_bias = domain_backward(grad, hidden, weight, bias, *rest, ctx.impl)
    return (d_hidden, d_weight, None if bias is None else d_bias, *(None,) * 7)


domain_forward.register_autograd(_differentiate, setup_context=_save)
