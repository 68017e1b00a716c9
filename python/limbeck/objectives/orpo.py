"""ORPO: learn what is chosen, and make it likelier than what is rejected (arXiv 2403.07691).

    L = mean over pairs of  −p̄(chosen) − λ·log σ(log odds(chosen) − log odds(rejected))

p̄ is the mean log-probability of a completion's tokens, odds = P/(1 − P) with P = exp p̄. ReDis
(arXiv 2504.10647) aligns its students so, with λ = 0.1. The paper of ORPO leaves open whether the
prompt counts in the first term; here it does not, so it is the loss of fine-tuning on the chosen
completions, each of which counts alike whatever its length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import InputError
from limbeck.objectives.base import Objective, States, Term
from limbeck.spans import KINDS, PROMPT_KINDS

if TYPE_CHECKING:
    from limbeck.data import Layout

_PLACE = "train.objectives: orpo"
_PROMPT = [KINDS.index(kind) for kind in PROMPT_KINDS]

# A completion that is all but certain has odds beyond any float; at this log-probability log odds
# are 14 and their gradient vanishes.
_LARGEST = -1e-6


@dataclass(frozen=True)
class OrpoTerm(Term):
    """How much the odds count.

    Attributes:
        strength: λ, the weight of the odds term beside that of the chosen completion.
    """

    name: ClassVar[str] = "orpo"
    columns: ClassVar[Mapping[str, str]] = {"example_roles": "prepare with `prepare.pairs: true`"}
    strength: float = 0.1

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            InputError: One is out of range.
        """
        super().__post_init__()
        strength = self.strength
        if isinstance(strength, bool) or not isinstance(strength, int | float):
            raise InputError(f"{_PLACE}: strength: {strength!r}; give a number")
        if not 0 <= strength < math.inf:
            raise InputError(f"{_PLACE}: strength: {strength}; give 0 or more")

    def select(self, layout: Layout) -> dict[str, Any]:
        """Pick the completions of all pairs; examples that are of none are passed over.

        Returns:
            `rows` and `labels` of their tokens; `completions` (int64 `[R]`): which of the 2·P
            completions each is of, those of a pair one after the other, the chosen one first;
            `lengths` (int64 `[2P]`): how many tokens each has; `weights`: the tokens of a
            completion share ½, so that a pair counts once.
        """
        is_paired_E = layout.roles > 0
        number_E = np.cumsum(is_paired_E) - 1
        is_completion_N = layout.predicted & ~np.isin(layout.span_kinds, _PROMPT)
        predicted_R = np.flatnonzero(is_completion_N & is_paired_E[layout.examples])
        completion_R = number_E[layout.examples[predicted_R]]
        lengths_C = np.bincount(completion_R, minlength=int(is_paired_E.sum()))
        return {
            "rows": predicted_R - 1,
            "labels": layout.input_ids[predicted_R],
            "weights": (0.5 / lengths_C[completion_R]).astype(np.float32),
            "completions": completion_R.astype(np.int64),
            "lengths": lengths_C.astype(np.int64),
        }

    def build(self, width: int) -> Objective:  # noqa: ARG002 (the head brings its own)
        """Make the loss."""
        return Orpo(self.key, self.weight, self.strength)


class Orpo(Objective):
    """The loss of pairs, through the student's own head.

    Args:
        name: The objective's name.
        weight: Its weight in the sum of all.
        strength: λ.
    """

    part = "orpo"

    def __init__(self, name: str, weight: float, strength: float) -> None:
        super().__init__(name, weight)
        self.strength = strength
        self._seen: tuple[Tensor, Tensor] = (torch.zeros(0), torch.zeros(0))

    def arguments(
        self,
        states: States,  # noqa: ARG002 (what only `forward` measures)
        selection: Mapping[str, Tensor],  # noqa: ARG002
        normalizer: Tensor,  # noqa: ARG002
    ) -> dict[str, Any] | None:
        """Return None: the fused head has no place for pairs."""
        return None

    def forward(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> Tensor:
        """Return the mean over all pairs of the step."""
        chosen_P, rejected_P = self._means(states, selection)
        self._seen = chosen_P.detach(), rejected_P.detach()
        odds_P = -F.logsigmoid(_log_odds(chosen_P) - _log_odds(rejected_P))
        total = (self.strength * odds_P - chosen_P).sum()
        return total / torch.where(normalizer == 0, 1.0, normalizer)

    @torch.no_grad()
    def logs(
        self,
        loss: Tensor,
        states: States,  # noqa: ARG002 (what is told was seen in `forward`)
        selection: Mapping[str, Tensor],  # noqa: ARG002
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        """Return the loss, its first term, and how often the chosen one is the likelier."""
        chosen_P, rejected_P = self._seen
        divisor = torch.where(normalizer == 0, 1.0, normalizer)
        return {
            self.name: loss.detach(),
            f"{self.name}_chosen": -chosen_P.sum() / divisor,
            f"{self.name}_accuracy": (chosen_P > rejected_P).sum() / divisor,
        }

    def _means(self, states: States, selection: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return p̄ of the chosen and of the rejected completions, `[P]` each."""
        lengths_C = selection["lengths"]
        nll_R = states.head.nll(
            states.hidden, rows_R=selection["rows"], labels_R=selection["labels"]
        )
        sums_C = nll_R.new_zeros(lengths_C.shape).index_add(0, selection["completions"], nll_R)
        means_C = -sums_C / lengths_C.clamp(min=1)
        return means_C[0::2], means_C[1::2]


def _log_odds(mean: Tensor) -> Tensor:
    mean = mean.clamp(max=_LARGEST)
    return mean - torch.log(-torch.expm1(mean))
