"""Cross-entropy of selected rows through the language-model head: README.md beside this file."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from limbeck_kernels.common import (
    accumulation_dtype,
    check_constant,
    check_implementation,
    check_items,
    check_plain,
    flatten_hidden,
    reciprocal,
)
from limbeck_kernels.cross_entropy.naive import IGNORED, selected_cross_entropy_naive
from limbeck_kernels.cross_entropy.op import cross_entropy_rows, cross_entropy_total

__all__ = ["selected_cross_entropy", "selected_cross_entropy_naive"]

_OP = "selected_cross_entropy"


class SelectedRows(NamedTuple):
    """The rows that count: where they are, what they predict and how much they weigh."""

    rows_R: Tensor
    labels_R: Tensor
    weights_R: Tensor


def selected_rows(
    hidden_ND: Tensor,
    head_weight: Tensor,
    labels: Tensor,
    weights: Tensor,
    rows: Tensor | None,
    bias: Tensor | None,
) -> SelectedRows:
    """Check the arguments of the loss and gather labels and weights of the rows that count."""
    check_constant(_OP, "weights", weights)
    for name, parameter in (("head_weight", head_weight), ("bias", bias)):
        check_plain(_OP, name, parameter)
    n_tokens, width = hidden_ND.shape
    if head_weight.dim() != 2 or head_weight.shape[1] != width:
        raise ValueError(
            f"{_OP}: head_weight has shape {tuple(head_weight.shape)}; give [V, {width}]"
        )
    labels_N = check_items(_OP, "labels", labels, n_tokens)
    weights_N = check_items(_OP, "weights", weights, n_tokens)
    assert labels_N is not None
    assert weights_N is not None
    if rows is None:
        rows = ((weights_N != 0) & (labels_N != IGNORED)).nonzero().squeeze(1)
    labels_R, weights_R = labels_N[rows].to(torch.int64), weights_N[rows]
    ignored_R = labels_R == IGNORED
    weights_R = torch.where(ignored_R, 0, weights_R).to(accumulation_dtype(hidden_ND.dtype))
    return SelectedRows(rows, torch.where(ignored_R, 0, labels_R), weights_R)


def wanted_gradients(
    hidden_ND: Tensor, head_weight: Tensor, bias: Tensor | None
) -> tuple[bool, bool, bool]:
    """Say which gradients autograd will ask for; none where it records nothing."""
    recorded = torch.is_grad_enabled()
    return (
        recorded and hidden_ND.requires_grad,
        recorded and head_weight.requires_grad,
        recorded and bias is not None and bias.requires_grad,
    )


def selected_cross_entropy(
    hidden: Tensor,
    head_weight: Tensor,
    labels: Tensor,
    *,
    weights: Tensor,
    rows: Tensor | None = None,
    bias: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
    normalizer: Tensor | float | None = None,
    reduction: str = "mean",
    impl: str = "auto",
) -> Tensor:
    """Weighted cross-entropy over the rows that count, without holding all their logits.

    Nothing is shifted: `labels[i]` is the token that `hidden[i]` predicts. Matrix products run in
    the dtype of `hidden` (the head is cast to it), sums and softmax in fp32 (fp64 for fp64).
    Double backward raises.

    With reduction `mean` the gradients are made in forward, while the logits are there, and held
    for backward to scale: R × D numbers in the dtype of `hidden` and V × D in fp32. Under
    `torch.no_grad()` nothing is made or held.

    Args:
        hidden: `[N, D]` or `[B, T, D]`, the last hidden states.
        head_weight: `[V, D]`; a frozen one (`requires_grad` False) skips its matrix product.
        labels: Int64, one a token; −100 is ignored.
        weights: Float, one a token, without gradient; 0 is ignored, whatever the row holds.
        rows: Int64 `[R]`, distinct indices of the tokens that count. Without it they are found
            where weight ≠ 0 and label ≠ −100, which costs one wait for the device.
        bias: `[V]`, added to the logits.
        softcap: Logits become `softcap · tanh(logits / softcap)`, after `scale`.
        scale: Logits are multiplied by it, after the bias.
        normalizer: Float or 0-d tensor that the weighted sum is divided by, the sum of the
            weights that count by default; 0 gives loss 0 with zero gradients.
        reduction: `mean`, or `none` for every token's weighted value; its backward computes the
            logits again.
        impl: `auto` or `torch`.

    Returns:
        The 0-d loss, or `[N]` for reduction `none`; fp32 (fp64 for fp64 inputs).

    Raises:
        ValueError: If shapes do not match, an argument that gets no gradient requires one, a
            parameter is a sharded DTensor, or an option is unknown or would have no effect.

    Example:
        >>> hidden, head = torch.randn(6, 8), torch.randn(32, 8)
        >>> labels, weights = torch.arange(6), torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5, 0.5])
        >>> selected_cross_entropy(hidden, head, labels, weights=weights).shape
        torch.Size([])
    """
    check_implementation(_OP, impl)
    if reduction not in ("mean", "none"):
        raise ValueError(f"{_OP}: reduction is {reduction!r}; give 'mean' or 'none'")
    if reduction == "none" and normalizer is not None:
        raise ValueError(f"{_OP}: reduction='none' takes no normalizer; divide the result yourself")
    hidden_ND = flatten_hidden(_OP, "hidden", hidden)
    chosen = selected_rows(hidden_ND, head_weight, labels, weights, rows, bias)
    arguments = (hidden_ND, head_weight, bias, *chosen, softcap, scale)
    if reduction == "none":
        nll_R: Tensor = cross_entropy_rows(*arguments)
        return nll_R.new_zeros(hidden_ND.shape[0]).index_copy(0, chosen.rows_R, nll_R)
    wanted = wanted_gradients(hidden_ND, head_weight, bias)
    total: Tensor = cross_entropy_total(*arguments, wanted)[0]
    z = chosen.weights_R.sum() if normalizer is None else normalizer
    return total * reciprocal(z, total)
