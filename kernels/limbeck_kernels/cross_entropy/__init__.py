"""Cross-entropy of selected rows through the language-model head: README.md beside this file."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_kernels.common import (
    check_constant,
    check_implementation,
    check_items,
    check_plain,
    flatten_hidden,
    reciprocal,
)
from limbeck_kernels.cross_entropy.chunked import RowNegativeLogLikelihood
from limbeck_kernels.cross_entropy.naive import IGNORED, selected_cross_entropy_naive

__all__ = ["selected_cross_entropy", "selected_cross_entropy_naive"]

_OP = "selected_cross_entropy"


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
        reduction: `mean`, or `none` for every token's weighted value.
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
    check_constant(_OP, "weights", weights)
    for name, parameter in (("head_weight", head_weight), ("bias", bias)):
        check_plain(_OP, name, parameter)
    hidden_ND = flatten_hidden(_OP, "hidden", hidden)
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
    labels_R = torch.where(ignored_R, 0, labels_R)
    dtype = torch.float64 if hidden_ND.dtype == torch.float64 else torch.float32
    weights_R = torch.where(ignored_R, 0, weights_R).to(dtype)

    nll_R: Tensor = RowNegativeLogLikelihood.apply(
        hidden_ND, head_weight, bias, rows, labels_R, weights_R, softcap, scale
    )
    if reduction == "none":
        return nll_R.new_zeros(n_tokens).index_copy(0, rows, nll_R)
    return nll_R.sum() * reciprocal(weights_R.sum() if normalizer is None else normalizer, nll_R)
