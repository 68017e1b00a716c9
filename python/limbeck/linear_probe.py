"""What frozen states tell: a fresh linear classifier, and a picture in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.statistics import wilson_interval

__all__ = ["Probed", "linear_probe", "project"]

_ITERATIONS = 200


@dataclass(frozen=True)
class Probed:
    """How well a linear classifier does on states that it did not see.

    Attributes:
        accuracy: Share of the test states whose class it names.
        low: Lower end of the 95 % confidence interval.
        high: Upper end.
    """

    accuracy: float
    low: float
    high: float


def linear_probe(states_ND: Tensor, classes_N: Tensor, is_train_N: Tensor) -> Probed:
    """Train a multinomial logistic regression on some states and try it on the others.

    States are standardized by the training ones, so that no scale hides a direction; the penalty is
    half the squared weights over the number of training states, scikit-learn's default.

    Args:
        states_ND: One state an item.
        classes_N: int64, from 0.
        is_train_N: bool; the others are the test.

    Example:
        >>> import torch
        >>> classes = torch.arange(40) % 2
        >>> states = torch.nn.functional.one_hot(classes, 8).float()
        >>> linear_probe(states, classes, torch.arange(40) < 20).accuracy
        1.0
    """
    states_ND = states_ND.double().cpu()
    train_MD, classes_M = states_ND[is_train_N], classes_N[is_train_N]
    spread_D = train_MD.std(0, correction=0).clamp(min=1e-8)
    states_ND = (states_ND - train_MD.mean(0)) / spread_D
    train_MD = states_ND[is_train_N]
    count = int(classes_N.max()) + 1
    weight_KD = torch.zeros(count, states_ND.shape[1], dtype=torch.float64, requires_grad=True)
    bias_K = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight_KD, bias_K], max_iter=_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(train_MD, weight_KD, bias_K), classes_M)
        value = value + weight_KD.square().sum() / (2 * len(train_MD))
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        named = F.linear(states_ND[~is_train_N], weight_KD, bias_K).argmax(-1)
    accuracy = float((named == classes_N[~is_train_N]).double().mean())
    return Probed(accuracy, *wilson_interval(accuracy, len(named)))


def project(states_ND: Tensor) -> Tensor:
    """Return the two principal components of states, `[N, 2]`, and nothing of their sign to chance.

    Args:
        states_ND: One state an item; at least two.

    Example:
        >>> import torch
        >>> project(torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])).tolist()
        [[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]
    """
    centred_ND = states_ND.double().cpu()
    centred_ND = centred_ND - centred_ND.mean(0)
    *_, axes_RD = torch.linalg.svd(centred_ND, full_matrices=False)
    axes_2D = axes_RD[:2]
    largest = axes_2D.abs().argmax(1, keepdim=True)
    points = centred_ND @ (axes_2D * axes_2D.gather(1, largest).sign()).T
    return F.pad(points, (0, 2 - points.shape[1])) + 0.0
