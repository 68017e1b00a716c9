"""`limbeck::pool_forward` and `limbeck::pool_backward`: pooling of segments as operators."""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, refuse_double_backward
from limbeck_kernels.pooling import lean


@torch.library.custom_op(
    "limbeck::pool_forward",
    mutates_args=(),
    schema="(Tensor hidden, Tensor? select, Tensor cu_seqlens, str pooling, str impl) "
    "-> (Tensor, Tensor, Tensor)",
)
def pool_forward(
    hidden: Tensor, select: Tensor | None, cu_seqlens: Tensor, pooling: str, impl: str
) -> tuple[Tensor, ...]:
    """Return pooled states, where they come from (count or position) and whether they exist."""
    if impl == "torch":
        return tuple(lean.pool_forward(hidden, select, cu_seqlens, pooling))
    from limbeck_kernels.pooling import forward  # noqa: PLC0415 (Triton only where it runs)

    return tuple(forward.pool_forward(hidden, select, cu_seqlens, pooling))


@pool_forward.register_fake
def _pool_forward_fake(
    hidden: Tensor, select: Tensor | None, cu_seqlens: Tensor, pooling: str, impl: str
) -> tuple[Tensor, ...]:
    n_segments = cu_seqlens.shape[0] - 1
    dtype = accumulation_dtype(hidden.dtype)
    return (
        hidden.new_empty((n_segments, hidden.shape[1]), dtype=dtype),
        hidden.new_empty((n_segments,), dtype=torch.int64),
        hidden.new_empty((n_segments,), dtype=torch.bool),
    )


@torch.library.custom_op(
    "limbeck::pool_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor where, Tensor? select, Tensor cu_seqlens, SymInt n_tokens, "
    "ScalarType dtype, str pooling, str impl) -> Tensor",
)
def pool_backward(
    grad: Tensor,
    where: Tensor,
    select: Tensor | None,
    cu_seqlens: Tensor,
    n_tokens: int,
    dtype: torch.dtype,
    pooling: str,
    impl: str,
) -> Tensor:
    """Return the gradient of the token states."""
    if impl == "torch":
        return lean.pool_backward(grad, where, select, cu_seqlens, n_tokens, dtype, pooling)
    from limbeck_kernels.pooling import backward  # noqa: PLC0415

    return backward.pool_backward(grad, where, select, cu_seqlens, n_tokens, dtype, pooling)


@pool_backward.register_fake
def _pool_backward_fake(
    grad: Tensor,
    where: Tensor,
    select: Tensor | None,
    cu_seqlens: Tensor,
    n_tokens: int,
    dtype: torch.dtype,
    pooling: str,
    impl: str,
) -> Tensor:
    return grad.new_empty((n_tokens, grad.shape[1]), dtype=dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, select, cu_seqlens, ctx.pooling, ctx.impl = inputs
    _, where, valid = output
    ctx.n_tokens, ctx.dtype = hidden.shape[0], hidden.dtype
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(where, valid)
    ctx.save_for_backward(where, select, cu_seqlens)


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    refuse_double_backward("pooled_states")
    if grad is None:
        return (None,) * 5
    where, select, cu_seqlens = ctx.saved_tensors
    d_hidden = pool_backward(
        grad, where, select, cu_seqlens, ctx.n_tokens, ctx.dtype, ctx.pooling, ctx.impl
    )
    return (d_hidden, *(None,) * 4)


pool_forward.register_autograd(_differentiate, setup_context=_save)


def pooled_states(
    hidden_ND: Tensor, *, select_N: Tensor | None, cu_seqlens: Tensor, pooling: str, impl: str
) -> tuple[Tensor, Tensor]:
    """Pool token states into one state a segment, as `pool` defines it.

    Args:
        hidden_ND: States of all tokens.
        select_N: Bool, the tokens that count; None is all of them.
        cu_seqlens: Int `[S+1]`, non-decreasing, last ≤ N; tokens past the last are ignored.
        pooling: `mean` or `last`.
        impl: `triton` or `torch`.

    Returns:
        States `[S, D]` in fp32 (fp64 for fp64) and bool `[S]`, whether a token of it counts.
    """
    pooled_SD, _, valid_S = pool_forward(hidden_ND, select_N, cu_seqlens, pooling, impl)
    return pooled_SD, valid_S
