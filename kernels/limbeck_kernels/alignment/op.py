"""The row-wise distance, plain and behind a projection, as operators."""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.alignment import lean
from limbeck_kernels.common import accumulation_dtype, product, reciprocal, refuse_double_backward

# Rows that are projected at once: enough for the matrix units, little memory.
CHUNK_ROWS = 2048


def _forward_of(impl: str) -> ModuleType:
    if impl == "torch":
        return lean
    # Triton is imported where a kernel is about to run, and nowhere else.
    from limbeck_kernels.alignment import forward  # noqa: PLC0415

    return forward


def _backward_of(impl: str) -> ModuleType:
    if impl == "torch":
        return lean
    from limbeck_kernels.alignment import backward  # noqa: PLC0415

    return backward


@torch.library.custom_op(
    "limbeck::distance_forward",
    mutates_args=(),
    schema="(Tensor state, Tensor target, Tensor? weights, Tensor? valid, Tensor? normalizer, "
    "str metric, str impl) -> (Tensor, Tensor, Tensor)",
)
def distance_forward(
    state: Tensor,
    target: Tensor,
    weights: Tensor | None,
    valid: Tensor | None,
    normalizer: Tensor | None,
    metric: str,
    impl: str,
) -> tuple[Tensor, ...]:
    """Return the loss, the factors of the backward and 1/Z."""
    forward = _forward_of(impl).distance_forward
    return tuple(forward(state, target, weights, valid, normalizer, metric))


@distance_forward.register_fake
def _distance_forward_fake(
    state: Tensor,
    target: Tensor,
    weights: Tensor | None,
    valid: Tensor | None,
    normalizer: Tensor | None,
    metric: str,
    impl: str,
) -> tuple[Tensor, ...]:
    factors = 2 if metric == "cosine" else 1
    dtype = accumulation_dtype(state.dtype)
    return (
        state.new_empty((), dtype=dtype),
        state.new_empty((state.shape[0], factors), dtype=dtype),
        state.new_empty((), dtype=dtype),
    )


@torch.library.custom_op(
    "limbeck::distance_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor state, Tensor target, Tensor factors, Tensor inverse, "
    "str metric, str impl) -> Tensor",
)
def distance_backward(
    grad: Tensor,
    state: Tensor,
    target: Tensor,
    factors: Tensor,
    inverse: Tensor,
    metric: str,
    impl: str,
) -> Tensor:
    """Return the gradient of the states."""
    backward = _backward_of(impl).distance_backward
    return backward(grad, state, target, factors, inverse, metric)


@distance_backward.register_fake
def _distance_backward_fake(
    grad: Tensor,
    state: Tensor,
    target: Tensor,
    factors: Tensor,
    inverse: Tensor,
    metric: str,
    impl: str,
) -> Tensor:
    return state.new_empty(state.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    state, target, *_, ctx.metric, ctx.impl = inputs
    _, factors, inverse = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(factors, inverse)
    ctx.save_for_backward(state, target, factors, inverse)


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    refuse_double_backward("semantic_alignment_loss")
    if grad is None:
        return (None,) * 7
    return (distance_backward(grad, *ctx.saved_tensors, ctx.metric, ctx.impl), *(None,) * 6)


distance_forward.register_autograd(_differentiate, setup_context=_save)


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + CHUNK_ROWS) for start in range(0, n_rows, CHUNK_ROWS)]


def _live(student_CD: Tensor, weight_C: Tensor) -> Tensor:
    """Zero the rows that do not count: a NaN there must not meet the projection."""
    return torch.where(weight_C[:, None] != 0, student_CD, 0)


@torch.library.custom_op(
    "limbeck::projected_distance_forward",
    mutates_args=(),
    schema="(Tensor student, Tensor projection, Tensor target, Tensor weights, "
    "Tensor? normalizer, str metric, str impl) -> (Tensor, Tensor, Tensor)",
)
def projected_distance_forward(
    student: Tensor,
    projection: Tensor,
    target: Tensor,
    weights: Tensor,
    normalizer: Tensor | None,
    metric: str,
    impl: str,
) -> tuple[Tensor, ...]:
    """Return the loss, the factors of the backward and 1/Z; projected rows live for one chunk."""
    forward = _forward_of(impl).distance_forward
    one = weights.new_ones(())
    factors = weights.new_empty(student.shape[0], 2 if metric == "cosine" else 1)
    loss = weights.new_zeros(())
    with torch.autocast(student.device.type, enabled=False):
        projection_DE = projection.to(student.dtype).T
        for chunk in _chunks(student.shape[0]):
            states_CE = product(_live(student[chunk], weights[chunk]), projection_DE, loss.dtype)
            part, factors[chunk], _ = forward(
                states_CE, target[chunk], weights[chunk], None, one, metric
            )
            loss += part
    inverse = reciprocal(weights.sum() if normalizer is None else normalizer, loss)
    return torch.where(inverse == 0, 0.0, loss * inverse), factors, inverse


@projected_distance_forward.register_fake
def _projected_forward_fake(
    student: Tensor,
    projection: Tensor,
    target: Tensor,
    weights: Tensor,
    normalizer: Tensor | None,
    metric: str,
    impl: str,
) -> tuple[Tensor, ...]:
    return _distance_forward_fake(student, target, weights, None, normalizer, metric, impl)


@torch.library.custom_op(
    "limbeck::projected_distance_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor student, Tensor projection, Tensor target, Tensor weights, "
    "Tensor factors, Tensor inverse, str metric, str impl) -> (Tensor, Tensor)",
)
def projected_distance_backward(
    grad: Tensor,
    student: Tensor,
    projection: Tensor,
    target: Tensor,
    weights: Tensor,
    factors: Tensor,
    inverse: Tensor,
    metric: str,
    impl: str,
) -> tuple[Tensor, ...]:
    """Return the gradients of the student and of the projection: equation (8)."""
    backward = _backward_of(impl).distance_backward
    dtype = factors.dtype
    d_student = torch.empty_like(student, memory_format=torch.contiguous_format)
    d_projection = torch.zeros_like(projection, dtype=dtype)
    with torch.autocast(student.device.type, enabled=False):
        narrow_ED = projection.to(student.dtype)
        for chunk in _chunks(student.shape[0]):
            live_CD = _live(student[chunk], weights[chunk])
            states_CE = product(live_CD, narrow_ED.T, dtype)
            d_states_CE = backward(grad, states_CE, target[chunk], factors[chunk], inverse, metric)
            d_student[chunk] = product(d_states_CE, narrow_ED, dtype)
            d_projection += product(d_states_CE.T, live_CD, dtype)
    return d_student, d_projection.to(projection.dtype)


@projected_distance_backward.register_fake
def _projected_backward_fake(
    grad: Tensor,
    student: Tensor,
    projection: Tensor,
    target: Tensor,
    weights: Tensor,
    factors: Tensor,
    inverse: Tensor,
    metric: str,
    impl: str,
) -> tuple[Tensor, ...]:
    return student.new_empty(student.shape), projection.new_empty(projection.shape)


def _save_projected(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    student, projection, target, weights, _, ctx.metric, ctx.impl = inputs
    _, factors, inverse = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(factors, inverse)
    ctx.save_for_backward(student, projection, target, weights, factors, inverse)


def _differentiate_projected(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    refuse_double_backward("semantic_alignment_loss")
    if grad is None:
        return (None,) * 7
    gradients = projected_distance_backward(grad, *ctx.saved_tensors, ctx.metric, ctx.impl)
    return (*gradients, *(None,) * 5)


projected_distance_forward.register_autograd(
    _differentiate_projected, setup_context=_save_projected
)
