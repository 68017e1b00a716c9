"""Domain classification with a reversed gradient; see README.md beside this file."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from limbeck_kernels.common import (
    check_constant,
    check_items,
    check_plain,
    flatten_hidden,
)
from limbeck_kernels.domain.naive import domain_adversarial_naive
from limbeck_kernels.domain.op import domain_forward
from limbeck_kernels.domain.tiles import MAX_DOMAINS
from limbeck_kernels.launch import choose_implementation, device_scalar
from limbeck_kernels.pooling import check_pooling, pooled_states

__all__ = ["domain_adversarial_loss", "domain_adversarial_naive"]

_OP = "domain_adversarial_loss"


class DomainArguments(NamedTuple):
    """Arguments of the loss, checked, flat and on the device."""

    hidden_ND: Tensor
    weight_KD: Tensor
    bias_K: Tensor | None
    domains: Tensor
    weights_I: Tensor | None
    select_N: Tensor | None
    cu_seqlens: Tensor | None
    normalizer: Tensor | None
    strength: Tensor
    pooling: str
    impl: str


def checked_arguments(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    domains: Tensor,
    *,
    strength: Tensor | float,
    weights: Tensor | None = None,
    select: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    pooling: str = "token",
    normalizer: Tensor | float | None = None,
    impl: str = "auto",
) -> DomainArguments:
    """Check what `domain_adversarial_loss` is given; choose the implementation."""
    if pooling != "token":
        check_pooling(_OP, pooling, cu_seqlens)
    check_constant(_OP, "weights", weights)
    for name, parameter in (("weight", weight), ("bias", bias)):
        check_plain(_OP, name, parameter)
    hidden_ND = flatten_hidden(_OP, "hidden", hidden)
    n_tokens, width = hidden_ND.shape
    if weight.dim() != 2 or weight.shape[1] != width:
        raise ValueError(f"{_OP}: weight has shape {tuple(weight.shape)}; give [K, {width}]")
    n_domains = weight.shape[0]
    if bias is not None and tuple(bias.shape) != (n_domains,):
        raise ValueError(f"{_OP}: bias has shape {tuple(bias.shape)}; give [{n_domains}]")
    many = f"{n_domains} domains (at most {MAX_DOMAINS})" if n_domains > MAX_DOMAINS else None
    impl = choose_implementation(_OP, impl, hidden_ND, many)

    n_segments = n_tokens if cu_seqlens is None else cu_seqlens.numel() - 1
    items = n_tokens if pooling == "token" else n_segments
    labels = check_items(_OP, "domains", domains, n_segments)
    assert labels is not None
    weights = check_items(_OP, "weights", weights, items)
    select = check_items(_OP, "select", select, n_tokens)
    return DomainArguments(
        hidden_ND,
        weight,
        bias,
        labels,
        weights,
        select,
        cu_seqlens,
        None if normalizer is None else device_scalar(normalizer, hidden_ND),
        device_scalar(strength, hidden_ND),
        pooling,
        impl,
    )


def domain_adversarial_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    domains: Tensor,
    *,
    strength: Tensor | float,
    weights: Tensor | None = None,
    select: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    pooling: str = "token",
    normalizer: Tensor | float | None = None,
    impl: str = "auto",
) -> Tensor:
    """Weighted cross-entropy of a linear domain classifier, its gradient reversed for the states.

    The classifier learns to tell the domains apart (its gradients are those of the loss); the
    states get −λ times theirs, and so learn not to. The value is not multiplied by λ. Sums and
    softmax are fp32 (fp64 for fp64) whatever autocast says. Double backward raises.

    Args:
        hidden: `[N, D]` or `[B, T, D]`, hidden states.
        weight: `[K, D]`, the classifier; more than 64 domains take the torch path.
        bias: `[K]` or None.
        domains: Int, one an item, 0…K−1; −100 is unlabelled and ignored. With
            `pooling="token"` and `cu_seqlens` one a segment, for all of its tokens.
        strength: λ, a float or a 0-d tensor; a tensor may change without a recompilation.
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
            parameter is a sharded DTensor, an option is unknown, or `impl="triton"` cannot run.

    Source: Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation (2015), eq. 13.

    Example:
        >>> import torch
        >>> states, classifier = torch.randn(10, 8, requires_grad=True), torch.randn(2, 8)
        >>> starts, domains = torch.tensor([0, 4, 10]), torch.tensor([0, 1])
        >>> loss = domain_adversarial_loss(
        ...     states, classifier, None, domains, strength=0.1, cu_seqlens=starts, pooling="mean"
        ... )
        >>> loss.backward()
        >>> states.grad.shape
        torch.Size([10, 8])
    """
    given = checked_arguments(
        hidden,
        weight,
        bias,
        domains,
        strength=strength,
        weights=weights,
        select=select,
        cu_seqlens=cu_seqlens,
        pooling=pooling,
        normalizer=normalizer,
        impl=impl,
    )
    states, valid, starts = given.hidden_ND, given.select_N, given.cu_seqlens
    if pooling != "token":
        assert starts is not None
        states, valid = pooled_states(
            states, select_N=valid, cu_seqlens=starts, pooling=pooling, impl=given.impl
        )
        starts = None
    loss: Tensor = domain_forward(
        states,
        weight,
        bias,
        given.domains,
        given.weights_I,
        valid,
        starts,
        given.normalizer,
        given.strength,
        given.impl,
    )[0]
    return loss
