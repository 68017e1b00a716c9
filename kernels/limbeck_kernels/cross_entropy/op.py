"""`limbeck::cross_entropy_forward` and `_backward`: the loss of R rows as operators.

Operators, so that a compiler sees one opaque call whose number of chunks may change from batch to
batch without a new compilation.
"""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, refuse_double_backward
from limbeck_kernels.cross_entropy import chunked


@torch.library.custom_op(
    "limbeck::cross_entropy_forward",
    mutates_args=(),
    schema="(Tensor hidden, Tensor head_weight, Tensor? bias, Tensor rows, Tensor labels, "
    "Tensor weights, float? softcap, float scale) -> (Tensor, Tensor)",
)
def cross_entropy_forward(
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    softcap: float | None,
    scale: float,
) -> tuple[Tensor, ...]:
    """Return weighted negative log-likelihoods and log-sum-exps, both `[R]`; weight 0 gives 0."""
    return chunked.forward_rows(hidden, head_weight, bias, rows, labels, weights, softcap, scale)


@cross_entropy_forward.register_fake
def _forward_fake(
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    softcap: float | None,
    scale: float,
) -> tuple[Tensor, ...]:
    dtype = accumulation_dtype(hidden.dtype)
    return hidden.new_empty(rows.shape, dtype=dtype), hidden.new_empty(rows.shape, dtype=dtype)


@torch.library.custom_op(
    "limbeck::cross_entropy_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor hidden, Tensor head_weight, Tensor? bias, Tensor rows, "
    "Tensor labels, Tensor weights, Tensor logsumexp, float? softcap, float scale, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor)",
)
def cross_entropy_backward(
    grad: Tensor,
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    logsumexp: Tensor,
    softcap: float | None,
    scale: float,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    """Return the gradients of the rows `[R, D]`, weight and bias; empty where not wanted."""
    return chunked.backward_rows(
        grad, hidden, head_weight, bias, rows, labels, weights, logsumexp, softcap, scale, wanted
    )


@cross_entropy_backward.register_fake
def _backward_fake(
    grad: Tensor,
    hidden: Tensor,
    head_weight: Tensor,
    bias: Tensor | None,
    rows: Tensor,
    labels: Tensor,
    weights: Tensor,
    logsumexp: Tensor,
    softcap: float | None,
    scale: float,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    want_rows, want_weight, want_bias = wanted
    like = head_weight if bias is None else bias
    return (
        hidden.new_empty((rows.shape[0], hidden.shape[1]) if want_rows else 0),
        head_weight.new_empty(head_weight.shape if want_weight else 0),
        like.new_empty(like.shape if want_bias and bias is not None else 0),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.softcap, ctx.scale = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    refuse_double_backward("selected_cross_entropy")
    if grad is None:
        return (None,) * 8
    hidden, _, bias, rows, *_ = ctx.saved_tensors
    want_hidden, want_weight, want_bias = ctx.needs_input_grad[:3]
    d_rows, d_weight, d_bias = cross_entropy_backward(
        grad, *ctx.saved_tensors, ctx.softcap, ctx.scale, [want_hidden, want_weight, want_bias]
    )
    d_hidden = None
    if want_hidden:
        d_hidden = torch.zeros_like(hidden).index_add_(0, rows, d_rows)
    return (
        d_hidden,
        d_weight if want_weight else None,
        d_bias if want_bias and bias is not None else None,
        *(None,) * 5,
    )


cross_entropy_forward.register_autograd(_differentiate, setup_context=_save)
