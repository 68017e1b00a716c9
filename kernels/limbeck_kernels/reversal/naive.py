"""The definition of `reversed_linear`: a linear layer behind a gradient reversal."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck_kernels.domain.naive import Reverse


def reversed_linear_naive(
    hidden: Tensor, weight_HD: Tensor, bias_H: Tensor | None, *, strength: Tensor
) -> Tensor:
    """Compute equation (1) of the README beside this file."""
    reversed_hidden: Tensor = Reverse.apply(hidden, strength)
    return F.linear(reversed_hidden, weight_HD, bias_H)
