"""The definition of `selected_cross_entropy`: all logits at once, autograd does the rest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.common import accumulation_dtype, reciprocal

IGNORED = -100


def selected_cross_entropy_naive(
    hidden_ND: Tensor,
    head_weight_VD: Tensor,
    labels_N: Tensor,
    *,
    weights_N: Tensor,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
    normalizer: Tensor | float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Compute equations (1)–(4) of the README beside this file, holding every logit."""
    dtype = accumulation_dtype(hidden_ND.dtype)
    live_N = (weights_N != 0) & (labels_N != IGNORED)
    hidden_ND = torch.where(live_N[:, None], hidden_ND, 0).to(dtype)
    logits_NV = F.linear(
        hidden_ND, head_weight_VD.to(dtype), None if bias_V is None else bias_V.to(dtype)
    )
    logits_NV = logits_NV * scale
    if softcap is not None:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    nll_N = F.cross_entropy(logits_NV, torch.where(live_N, labels_N, 0), reduction="none")
    effective_N = torch.where(live_N, weights_N, 0).to(dtype)
    if reduction == "none":
        return effective_N * nll_N
    z = effective_N.sum() if normalizer is None else normalizer
    return (effective_N * nll_N).sum() * reciprocal(z, nll_N)
