"""The definition of `domain_adversarial_loss`: pool, classify, reverse the gradient, weigh."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.common import reciprocal
from limbeck_kernels.pooling import pool

IGNORED = -100


class Reverse(torch.autograd.Function):
    """The identity, whose gradient is multiplied by −λ."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, strength: Tensor) -> Tensor:
        """Return the states themselves."""
        ctx.save_for_backward(strength)
        return states.view_as(states)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return −λ times the gradient."""
        (strength,) = ctx.saved_tensors
        return -strength.to(grad.dtype) * grad, None


def token_domains(domains: Tensor, cu_seqlens: Tensor | None, n_tokens: int) -> Tensor:
    """Return the domain of every token `[N]`: given, or that of its segment; −100 outside."""
    if cu_seqlens is None:
        return domains.to(torch.int64)
    positions_N = torch.arange(n_tokens, device=domains.device)
    segment_N = torch.searchsorted(cu_seqlens.to(torch.int64), positions_N, right=True) - 1
    inside_N = (segment_N >= 0) & (segment_N < domains.numel())
    padded = F.pad(domains.to(torch.int64), (0, 1), value=IGNORED)
    return padded[torch.where(inside_N, segment_N, domains.numel())]


def effective_weights(
    domains_I: Tensor, weights_I: Tensor | None, valid_I: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Return the weight of every item, 0 where it does not count: equation (1) of the README."""
    live_I = domains_I != IGNORED
    if valid_I is not None:
        live_I = live_I & valid_I
    if weights_I is None:
        return live_I.to(dtype)
    return torch.where(live_I, weights_I.to(dtype), 0)


def domain_adversarial_naive(
    hidden_ND: Tensor,
    weight_KD: Tensor,
    bias_K: Tensor | None,
    domains: Tensor,
    *,
    strength: Tensor,
    weights_I: Tensor | None = None,
    select_N: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    pooling: str = "token",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Compute equations (1)–(5) of the README in fp32 (fp64 for fp64); (6)–(8) by autograd."""
    if pooling == "token":
        domains = token_domains(domains, cu_seqlens, hidden_ND.shape[0])
    states_ID, valid_I = pool(
        hidden_ND,
        select_N=select_N,
        cu_seqlens=None if pooling == "token" else cu_seqlens,
        pooling=pooling,
    )
    dtype = states_ID.dtype
    effective_I = effective_weights(domains, weights_I, valid_I, dtype)
    live_I = effective_I != 0
    # Masked before the arithmetic, since 0 · NaN is NaN.
    states_ID = torch.where(live_I[:, None], states_ID, 0)
    reversed_ID: Tensor = Reverse.apply(states_ID, strength)
    logits_IK = F.linear(
        reversed_ID, weight_KD.to(dtype), None if bias_K is None else bias_K.to(dtype)
    )
    nll_I = F.cross_entropy(logits_IK, torch.where(live_I, domains, 0), reduction="none")
    z = effective_I.sum() if normalizer is None else normalizer
    return (effective_I * nll_I).sum() * reciprocal(z, nll_I)
