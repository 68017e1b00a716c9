"""Next-token cross-entropy in which each span kind has its own weight.

PST weighs answer and rationale tokens differently (arXiv 2404.09170, the weighted loss over
x ⊕ y ⊕ r). The weight of a row is that of the token it predicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from limbeck.errors import InputError
from limbeck.objectives.base import Objective, States, Term
from limbeck.spans import DEFAULT_SPAN_WEIGHTS, KINDS

if TYPE_CHECKING:
    from limbeck.data import Layout


@dataclass(frozen=True)
class CrossEntropyTerm(Term):
    """Which tokens are predicted, and how hard.

    Attributes:
        span_weights: Weight by span kind; a kind that is not named is not trained.
        template: Number of the one template (its place in `prepare.template`, from 0) whose
            examples are trained; None for all. The mean is then over these examples alone.
    """

    name: ClassVar[str] = "cross_entropy"
    span_weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_SPAN_WEIGHTS)
    template: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            InputError: A span kind is unknown, no weight is positive, or a template no number.
        """
        super().__post_init__()
        place = "train.objectives: cross_entropy: span_weights"
        if not isinstance(self.span_weights, Mapping):
            raise InputError(f"{place}: give a mapping from span kind to weight")
        for kind, weight in self.span_weights.items():
            if kind not in KINDS:
                raise InputError(f"{place}: no span kind {kind!r}; use {', '.join(KINDS)}")
            if not isinstance(weight, int | float) or weight < 0:
                raise InputError(f"{place}.{kind}: {weight!r}; give a number that is not negative")
        if not any(self.span_weights.values()):
            raise InputError(f"{place}: every weight is 0; give at least one span a weight")
        number = self.template
        if number is not None and (not isinstance(number, int) or number < 0):
            raise InputError(
                f"train.objectives: cross_entropy: template: {number!r}; give its place in "
                "prepare.template, from 0"
            )

    def select(self, layout: Layout) -> dict[str, Any]:
        """Pick the rows before the weighted tokens: `rows`, `labels`, `weights`.

        Of a pair the chosen example is trained and the rejected one is not.
        """
        table = np.array([self.span_weights.get(kind, 0.0) for kind in KINDS], np.float32)
        chosen_N = layout.predicted & ~layout.rejected
        if self.template is not None:
            chosen_N = chosen_N & (layout.templates[layout.examples] == self.template)
        weights_N = np.where(chosen_N, table[layout.span_kinds], 0)
        predicted_R = np.flatnonzero(weights_N)
        return {
            "rows": predicted_R - 1,
            "labels": layout.input_ids[predicted_R],
            "weights": weights_N[predicted_R],
        }

    def build(self, width: int) -> Objective:  # noqa: ARG002 (the head brings its own)
        """Make the loss."""
        return CrossEntropy(self.key, self.weight)


class CrossEntropy(Objective):
    """Weighted cross-entropy through the student's own head."""

    part = "cross_entropy"

    def arguments(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> dict[str, Any] | None:
        """Return the fused loss's arguments where it was seen to give the student's logits."""
        return states.head.fused_arguments(states.hidden, **_rows(selection), normalizer=normalizer)

    def forward(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> Tensor:
        """Return Σ wᵢ·nllᵢ / normalizer."""
        return states.head.cross_entropy(states.hidden, **_rows(selection), normalizer=normalizer)


def _rows(selection: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}_R": selection[name] for name in ("rows", "labels", "weights")}
