"""Distance of student states to cached target states; see README.md beside this file."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from limbeck_kernels.alignment.composed import semantic_alignment_composed
from limbeck_kernels.alignment.naive import semantic_alignment_naive
from limbeck_kernels.common import (
    check_constant,
    check_items,
    check_plain,
    flatten_hidden,
)
from limbeck_kernels.launch import choose_implementation, device_scalar
from limbeck_kernels.pooling import check_pooling

__all__ = ["semantic_alignment_loss", "semantic_alignment_naive"]

METRICS = ("cosine", "mse", "smooth_l1")
_OP = "semantic_alignment_loss"


class AlignmentArguments(NamedTuple):
    """Arguments of the loss, checked, flat and on the device."""

    student_ND: Tensor
    projection_ED: Tensor | None
    target_IE: Tensor
    metric: str
    weights_I: Tensor | None
    select_N: Tensor | None
    cu_seqlens: Tensor | None
    pooling: str
    normalizer: Tensor | None
    impl: str


def checked_arguments(
    student: Tensor,
    target: Tensor,
    *,
    metric: str = "cosine",
    projection: Tensor | None = None,
    weights: Tensor | None = None,
    select: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    pooling: str = "token",
    normalizer: Tensor | float | None = None,
    impl: str = "auto",
) -> AlignmentArguments:
    """Check what `semantic_alignment_loss` is given; choose the implementation."""
    check_pooling(_OP, pooling, cu_seqlens)
    if metric not in METRICS:
        raise ValueError(f"{_OP}: metric is {metric!r}; give one of {', '.join(METRICS)}")
    check_constant(_OP, "target", target)
    check_constant(_OP, "weights", weights)
    check_plain(_OP, "projection", projection)
    student_ND = flatten_hidden(_OP, "student", student)
    n_tokens, width = student_ND.shape
    items = n_tokens if cu_seqlens is None else cu_seqlens.numel() - 1
    target_IE = target.reshape(-1, target.shape[-1])
    if target_IE.shape[0] != items:
        raise ValueError(
            f"{_OP}: target has shape {tuple(target.shape)} but there are {items} items; "
            "give [items, E]"
        )
    expected = (target_IE.shape[1], width)
    if projection is None and expected[0] != width:
        raise ValueError(
            f"{_OP}: target is {expected[0]} wide and student {width}; give a projection "
            f"of shape {expected}"
        )
    if projection is not None and tuple(projection.shape) != expected:
        raise ValueError(
            f"{_OP}: projection has shape {tuple(projection.shape)}; give [E, D] = {expected}"
        )
    impl = choose_implementation(_OP, impl, student_ND, None)
    weights = check_items(_OP, "weights", weights, items)
    select = check_items(_OP, "select", select, n_tokens)
    scalar = None if normalizer is None else device_scalar(normalizer, student_ND)
    return AlignmentArguments(
        student_ND,
        projection,
        target_IE,
        metric,
        weights,
        select,
        cu_seqlens,
        pooling,
        scalar,
        impl,
    )


def semantic_alignment_loss(
    student: Tensor,
    target: Tensor,
    *,
    metric: str = "cosine",
    projection: Tensor | None = None,
    weights: Tensor | None = None,
    select: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    pooling: str = "token",
    normalizer: Tensor | float | None = None,
    impl: str = "auto",
) -> Tensor:
    """Weighted distance between (pooled, projected) student states and their targets.

    Items are the tokens, or the segments of `cu_seqlens`. Arithmetic is fp32 (fp64 for fp64)
    whatever autocast says. Double backward raises.

    Args:
        student: `[N, D]` or `[B, T, D]`, hidden states.
        target: `[items, E]`, already pooled, without gradient.
        metric: `cosine` (1 − cos; 1 with zero gradient where a norm is below 1e-8), `mse` or
            `smooth_l1` (β = 1), the last two averaged over E.
        projection: `[E, D]`, trainable; applied after pooling. Needed when widths differ.
        weights: Float, one an item, without gradient; 1 by default.
        select: Bool, one a token: the tokens that count; all by default.
        cu_seqlens: Int `[S+1]`, where each segment starts; tokens past the last are ignored and
            a segment without a selected token weighs nothing.
        pooling: `token`, `mean` (of a segment's selected tokens) or `last` (selected token).
        normalizer: Float or 0-d tensor that the weighted sum is divided by, the sum of the
            weights that count by default; 0 gives loss 0 with zero gradients.
        impl: `auto` (Triton on a GPU), `triton` or `torch`.

    Returns:
        The 0-d loss; fp32 (fp64 for fp64 inputs).

    Raises:
        ValueError: If shapes do not match, an argument that gets no gradient requires one, a
            parameter is a sharded DTensor, or an option is unknown or would have no effect,
            or `impl="triton"` cannot run.

    Example:
        >>> import torch
        >>> states, target = torch.randn(10, 8), torch.randn(2, 8)
        >>> starts = torch.tensor([0, 4, 10])
        >>> semantic_alignment_loss(states, target, cu_seqlens=starts, pooling="mean").shape
        torch.Size([])
    """
    given = checked_arguments(
        student,
        target,
        metric=metric,
        projection=projection,
        weights=weights,
        select=select,
        cu_seqlens=cu_seqlens,
        pooling=pooling,
        normalizer=normalizer,
        impl=impl,
    )
    return semantic_alignment_composed(**given._asdict())
