"""`limbeck::cross_entropy_rows` and `_total`: the losses of R rows, and their sum, as operators.

Operators, so that a compiler sees one opaque call whose number of chunks may change from batch to
batch without a new compilation. The sum has one upstream gradient, a scalar, so its gradients are
made in forward, while the logits are there, and backward scales them. The losses of single rows
have one each, unknown until backward, which therefore walks once more: their gradient is that of
the sum with the weights multiplied by what arrives.
"""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, refuse_double_backward
from limbeck_kernels.cross_entropy import chunked

NOTHING = (False, False, False)


@torch.library.custom_op(
    "limbeck::cross_entropy_total",
    mutates_args=(),
    schema="(Tensor hidden, Tensor head_weight, Tensor? bias, Tensor rows, Tensor labels, "
    "Tensor weights, float? softcap, float scale, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def cross_entropy_total(
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    softcap: float | None,
    scale: float,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    """Return the sum of weighted losses, a unit, and the sum's gradients in that unit.

    Gradients by the rows `[R, D]`, the head's weight and its bias, as `wanted` says; the others,
    and that by a bias there is not, are empty.
    """
    walked = chunked.walk(hidden, head_weight, bias, rows, labels, weights, softcap, scale, wanted)
    return walked.nll_R.sum(), *walked[1:]


@cross_entropy_total.register_fake
def _total_fake(
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    softcap: float | None,
    scale: float,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    want_rows, want_weight, want_bias = wanted
    dtype = accumulation_dtype(hidden.dtype)
    n_biases = head_weight.shape[0] if want_bias and bias is not None else 0
    return (
        hidden.new_empty((), dtype=dtype),
        weights.new_empty(()),
        hidden.new_empty((rows.shape[0], hidden.shape[1]) if want_rows else 0),
        hidden.new_empty(head_weight.shape if want_weight else 0, dtype=dtype),
        hidden.new_empty(n_biases, dtype=dtype),
    )


def _save_total(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, head_weight, bias, rows = inputs[:4]
    ctx.n_tokens, ctx.head_dtype = hidden.shape[0], head_weight.dtype
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(rows, *output[1:])


def _differentiate_total(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    refuse_double_backward("selected_cross_entropy")
    if grad is None:
        return (None,) * 9
    rows, unit, d_rows, d_weight, d_bias = ctx.saved_tensors
    want_hidden, want_weight, want_bias = ctx.needs_input_grad[:3]
    factor = grad * unit
    return (
        scattered(rows, d_rows, factor, ctx.n_tokens) if want_hidden else None,
        scaled(d_weight, factor, ctx.head_dtype) if want_weight else None,
        scaled(d_bias, factor, ctx.bias_dtype) if want_bias else None,
        *(None,) * 6,
    )


cross_entropy_total.register_autograd(_differentiate_total, setup_context=_save_total)


@torch.library.custom_op(
    "limbeck::cross_entropy_rows",
    mutates_args=(),
    schema="(Tensor hidden, Tensor head_weight, Tensor? bias, Tensor rows, Tensor labels, "
    "Tensor weights, float? softcap, float scale) -> Tensor",
)
def cross_entropy_rows(
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    softcap: float | None,
    scale: float,
) -> Tensor:
    """Return weighted negative log-likelihoods `[R]`; weight 0 gives 0."""
    return chunked.walk(
        hidden, head_weight, bias, rows, labels, weights, softcap, scale, NOTHING
    ).nll_R


@cross_entropy_rows.register_fake
def _rows_fake(
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    softcap: float | None,
    scale: float,
) -> Tensor:
    return hidden.new_empty(rows.shape, dtype=accumulation_dtype(hidden.dtype))


def _save_rows(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.softcap, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_rows(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    refuse_double_backward("selected_cross_entropy")
    hidden, head_weight, bias, rows, labels, weights = ctx.saved_tensors
    want_hidden, want_weight, want_bias = wanted = ctx.needs_input_grad[:3]
    _, unit, d_rows, d_weight, d_bias = cross_entropy_total(
        hidden, head_weight, bias, rows, labels, grad * weights, ctx.softcap, ctx.scale, wanted
    )
    return (
        scattered(rows, d_rows, unit, hidden.shape[0]) if want_hidden else None,
        scaled(d_weight, unit, head_weight.dtype) if want_weight else None,
        scaled(d_bias, unit, bias.dtype) if want_bias else None,
        *(None,) * 5,
    )


cross_entropy_rows.register_autograd(_differentiate_rows, setup_context=_save_rows)


def scaled(gradient: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `factor · gradient`, multiplied as the factor's dtype and cast once."""
    return (gradient.to(factor.dtype) * factor).to(dtype)


def scattered(rows_R: Tensor, d_rows_RD: Tensor, factor: Tensor, n_tokens: int) -> Tensor:
    """Return the states' gradient `[N, D]`: the rows' times a factor, zero elsewhere."""
    d_hidden_ND = d_rows_RD.new_zeros(n_tokens, d_rows_RD.shape[1])
    return d_hidden_ND.index_add_(0, rows_R, scaled(d_rows_RD, factor, d_rows_RD.dtype))
