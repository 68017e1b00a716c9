"""`limbeck::states_backward`: the one write of the states' gradient as an operator."""

# ruff: noqa: ARG001 — an operator and its fake share one signature

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck_kernels.head import lean
from limbeck_kernels.head.parts import Distance, Gathered, Logits, Parts

MAX_GATHERED = 3


@torch.library.custom_op(
    "limbeck::states_backward",
    mutates_args=(),
    schema="(Tensor hidden, Tensor[] values, Tensor?[] index, Tensor?[] share, "
    "Tensor[] distance, str metric, Tensor[] logits, str impl) -> Tensor",
)
def states_backward_operator(
    hidden: Tensor,
    values: Sequence[Tensor],
    index: Sequence[Tensor | None],
    share: Sequence[Tensor | None],
    distance: Sequence[Tensor],
    metric: str,
    logits: Sequence[Tensor],
    impl: str,
) -> Tensor:
    """Return the gradient of the states; `distance` and `logits` are empty where there is none."""
    parts = Parts(
        tuple(Gathered(*part) for part in zip(values, index, share, strict=True)),
        Distance(distance[0], distance[1], distance[2], distance[3], metric) if distance else None,
        Logits(*logits) if logits else None,
    )
    if impl == "torch":
        return lean.states_backward(hidden, parts)
    # Triton is imported where a kernel is about to run, and nowhere else.
    from limbeck_kernels.head import backward  # noqa: PLC0415

    return backward.states_backward(hidden, parts)


@states_backward_operator.register_fake
def _states_backward_fake(
    hidden: Tensor,
    values: Sequence[Tensor],
    index: Sequence[Tensor | None],
    share: Sequence[Tensor | None],
    distance: Sequence[Tensor],
    metric: str,
    logits: Sequence[Tensor],
    impl: str,
) -> Tensor:
    return hidden.new_empty(hidden.shape)


def states_backward(hidden_ND: Tensor, parts: Parts, impl: str) -> Tensor:
    """Return the sum of all parts, `[N, D]` in the dtype of the states, each row written once."""
    assert len(parts.gathered) <= MAX_GATHERED
    distance, logits = parts.distance, parts.logits
    gradient: Tensor = states_backward_operator(
        hidden_ND,
        [part.values_MD for part in parts.gathered],
        [part.index_N for part in parts.gathered],
        [part.share_N for part in parts.gathered],
        [] if distance is None else list(distance[:-1]),
        "" if distance is None else distance.metric,
        [] if logits is None else list(logits),
        impl,
    )
    return gradient
