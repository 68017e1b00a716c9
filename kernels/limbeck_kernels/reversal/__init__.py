"""A linear layer behind a gradient reversal; see README.md beside this file."""

from __future__ import annotations

from torch import Tensor

from limbeck_kernels.common import check_implementation, check_plain, flatten_hidden
from limbeck_kernels.launch import device_scalar
from limbeck_kernels.reversal.naive import reversed_linear_naive
from limbeck_kernels.reversal.op import reversed_linear_forward

__all__ = ["reversed_linear", "reversed_linear_naive"]

_OP = "reversed_linear"


def reversed_linear(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strength: Tensor | float,
    impl: str = "auto",
) -> Tensor:
    """First layer of a multi-layer domain classifier: `hidden @ weightᵀ + bias`.

    The states get −λ times their gradient, weight and bias the plain one; the layers above it are
    ordinary. (λ on the last layer would reverse the gradient of every layer below it.) The products
    are the vendor's in the dtype of `hidden`, whatever autocast says. Double backward raises.

    Args:
        hidden: `[..., D]` with one or two leading dimensions, hidden states.
        weight: `[H, D]`.
        bias: `[H]` or None.
        strength: λ, a float or a 0-d tensor; a tensor may change without a recompilation.
        impl: `auto` or `torch`; there is nothing for a kernel of ours to save here.

    Returns:
        `[..., H]` in the dtype of `hidden`.

    Raises:
        ValueError: If shapes do not match, a parameter is a sharded DTensor, or `impl` is unknown.

    Source: Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation (2015), eq. 13.

    Example:
        >>> import torch
        >>> states, first, last = torch.randn(4, 8), torch.randn(16, 8), torch.randn(3, 16)
        >>> logits = reversed_linear(states, first, strength=0.1).relu() @ last.T
        >>> logits.shape
        torch.Size([4, 3])
    """
    check_implementation(_OP, impl)
    for name, parameter in (("weight", weight), ("bias", bias)):
        check_plain(_OP, name, parameter)
    hidden_ND = flatten_hidden(_OP, "hidden", hidden)
    width = hidden_ND.shape[1]
    if weight.dim() != 2 or weight.shape[1] != width:
        raise ValueError(f"{_OP}: weight has shape {tuple(weight.shape)}; give [H, {width}]")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"{_OP}: bias has shape {tuple(bias.shape)}; give [{weight.shape[0]}]")
    layer_NH: Tensor = reversed_linear_forward(
        hidden_ND, weight, bias, device_scalar(strength, hidden_ND)
    )
    return layer_NH.unflatten(0, hidden.shape[:-1])
