"""All losses of a student on one hidden tensor, with one gradient; README.md beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from limbeck_kernels.alignment import checked_arguments as alignment_arguments
from limbeck_kernels.common import flatten_hidden
from limbeck_kernels.cross_entropy import selected_rows, wanted_gradients
from limbeck_kernels.domain import checked_arguments as domain_arguments
from limbeck_kernels.head.naive import distillation_head_naive
from limbeck_kernels.head.node import DistillationHead, Plan, RowsArguments
from limbeck_kernels.launch import choose_implementation, device_scalar

__all__ = ["DistillationLosses", "distillation_head", "distillation_head_naive"]

_OP = "distillation_head"


class DistillationLosses(NamedTuple):
    """The losses, 0-d, None for a term that was not asked for."""

    cross_entropy: Tensor | None
    alignment: Tensor | None
    domain: Tensor | None


def _rows_arguments(
    hidden_ND: Tensor,
    head_weight: Tensor,
    labels: Tensor,
    *,
    weights: Tensor,
    rows: Tensor | None = None,
    bias: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
    normalizer: Tensor | float | None = None,
) -> RowsArguments:
    chosen = selected_rows(hidden_ND, head_weight, labels, weights, rows, bias)
    z = None if normalizer is None else device_scalar(normalizer, hidden_ND)
    wanted = wanted_gradients(hidden_ND, head_weight, bias)
    return RowsArguments(chosen, softcap, scale, z, wanted)


def distillation_head(
    hidden: Tensor,
    *,
    cross_entropy: Mapping[str, Any] | None = None,
    alignment: Mapping[str, Any] | None = None,
    domain: Mapping[str, Any] | None = None,
) -> DistillationLosses:
    """Cross-entropy, alignment and domain loss of the same states, as one autograd node.

    The values and gradients are those of `selected_cross_entropy`, `semantic_alignment_loss` and
    `domain_adversarial_loss`; the gradient of the states is written once instead of once a loss
    and added. Double backward raises.

    Args:
        hidden: `[N, D]` or `[B, T, D]`, hidden states.
        cross_entropy: Arguments of `selected_cross_entropy` but the first, `reduction` and `impl`.
        alignment: Arguments of `semantic_alignment_loss` but the first.
        domain: Arguments of `domain_adversarial_loss` but the first.

    Returns:
        A named tuple of 0-d losses, None for a term that was not asked for.

    Raises:
        ValueError: If no term is given, or as the functions above raise it.
        TypeError: If a mapping has an unknown key or lacks a required one.

    Example:
        >>> import torch
        >>> states, target = torch.randn(6, 8, requires_grad=True), torch.randn(6, 8)
        >>> labels, weights = torch.arange(6), torch.ones(6)
        >>> losses = distillation_head(
        ...     states,
        ...     cross_entropy={
        ...         "head_weight": torch.randn(32, 8), "labels": labels, "weights": weights
        ...     },
        ...     alignment={"target": target},
        ... )
        >>> (losses.cross_entropy + 0.1 * losses.alignment).backward()
        >>> states.grad.shape
        torch.Size([6, 8])
    """
    if cross_entropy is None and alignment is None and domain is None:
        raise ValueError(f"{_OP}: no term; give cross_entropy, alignment or domain")
    hidden_ND = flatten_hidden(_OP, "hidden", hidden)
    rows = None if cross_entropy is None else _rows_arguments(hidden_ND, **cross_entropy)
    ce = cross_entropy or {}
    aligned = None if alignment is None else alignment_arguments(hidden_ND, **alignment)
    adverse = None if domain is None else domain_arguments(hidden_ND, **domain)
    # Kernels write the sum only where kernels made all its parts.
    chosen = [term.impl for term in (aligned, adverse) if term is not None]
    chosen = chosen or [choose_implementation(_OP, "auto", hidden_ND, None)]
    impl = "triton" if set(chosen) == {"triton"} else "torch"
    losses = DistillationHead.apply(
        hidden_ND,
        ce.get("head_weight"),
        ce.get("bias"),
        None if aligned is None else aligned.projection_ED,
        None if adverse is None else adverse.weight_KD,
        None if adverse is None else adverse.bias_K,
        Plan(rows, aligned, adverse, impl),
    )
    return DistillationLosses(*losses)
