"""The state at `<|sem|>` is drawn to the cached state of the gold rationale.

PST matches the rationale in the hidden semantic space through one unique token (arXiv 2404.09170).
The paper does not state distance, projection or encoder: cosine, a linear map where widths differ,
and the encoder of `limbeck.targets` are ours. Where the targets have a state a token
(`targets.pooling: token`), each of the rationale's tokens is aligned instead, to its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.errors import InputError
from limbeck.objectives.base import Objective, States, Term
from limbeck.spans import KINDS
from limbeck.target_store import TargetStore
from limbeck_kernels import semantic_alignment_loss

if TYPE_CHECKING:
    from limbeck.data import Layout

METRICS = ("cosine", "mse", "smooth_l1")
_SEMANTIC, _RATIONALE = KINDS.index("semantic"), KINDS.index("rationale")


@dataclass(frozen=True)
class SemanticAlignmentTerm(Term):
    """Which states are aligned, and to what.

    Attributes:
        metric: `cosine`, `mse` or `smooth_l1`.
        targets: The cached states; the trainer fills it in.
    """

    name: ClassVar[str] = "semantic_alignment"
    metric: str = "cosine"
    targets: TargetStore | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            InputError: The metric is unknown.
        """
        super().__post_init__()
        if self.metric not in METRICS:
            raise InputError(
                f"train.objectives: semantic_alignment: metric: {self.metric!r}; "
                f"use one of {', '.join(METRICS)}"
            )

    def select(self, layout: Layout) -> dict[str, Any]:
        """Pick each example's last `<|sem|>`, or each token of its rationale.

        Returns:
            `rows`, `weights`, and `example_ids`, whose targets belong to the rows one by one.

        Raises:
            InputError: The targets are of other examples, or of other tokens.
        """
        by_token = self._store.by_token
        kind = _RATIONALE if by_token else _SEMANTIC
        chosen_N = (layout.examples >= 0) & ~layout.rejected
        rows_R = np.flatnonzero((layout.span_kinds == kind) & chosen_N)
        example_R = layout.examples[rows_R]
        last_R = np.append(example_R[1:] != example_R[:-1], True)[: len(example_R)]
        example_ids = layout.example_ids[example_R[last_R]]
        wanted = np.diff(np.flatnonzero(last_R), prepend=-1) if by_token else 1
        differs = self._store.counts(example_ids) != wanted
        if differs.any():
            raise InputError(
                f"targets: those of example {int(example_ids[differs][0])} are of other tokens "
                "than the prepared data's; run `targets` again on this preparation"
            )
        rows_R = rows_R if by_token else rows_R[last_R]
        return {
            "rows": rows_R,
            "weights": np.ones(len(rows_R), np.float32),
            "example_ids": example_ids,
        }

    def load(self, selection: dict[str, Any]) -> dict[str, Any]:
        """Read the targets `[R, D]` of what was selected."""
        target = self._store.read(selection["example_ids"])
        return {key: selection[key] for key in ("rows", "weights")} | {"target": target}

    def with_targets(self, targets: TargetStore) -> Term:
        """Return the term with its targets."""
        return dataclasses.replace(self, targets=targets)

    def build(self, width: int) -> Objective:
        """Make the loss, with a trainable projection where the widths differ."""
        return SemanticAlignment(self.key, self.weight, self.metric, width, self._store.width)

    @property
    def _store(self) -> TargetStore:
        if self.targets is None:
            raise InputError(
                "train.objectives: semantic_alignment needs cached rationale states; "
                "run `targets` first and pass its directory as `targets`"
            )
        return self.targets


class SemanticAlignment(Objective):
    """Distance of (projected) student states to their targets.

    Args:
        name: The objective's name.
        weight: Its weight in the sum of all.
        metric: `cosine`, `mse` or `smooth_l1`.
        width: Width of the student's states.
        target_width: Width of the targets.
    """

    part = "alignment"

    def __init__(
        self, name: str, weight: float, metric: str, width: int, target_width: int
    ) -> None:
        super().__init__(name, weight)
        self.metric = metric
        self.projection = None if width == target_width else nn.Linear(width, target_width, False)

    def arguments(
        self,
        states: States,  # noqa: ARG002 (the rows are the same whatever the student)
        selection: Mapping[str, Tensor],
        normalizer: Tensor,
    ) -> dict[str, Any]:
        """Return the loss's arguments: each row is the last token of a segment that ends there."""
        rows_R = selection["rows"]
        return {
            "target": selection["target"],
            "metric": self.metric,
            "projection": None if self.projection is None else self.projection.weight,
            "weights": selection["weights"],
            "cu_seqlens": torch.cat([rows_R.new_zeros(1), rows_R + 1]),
            "pooling": "last",
            "normalizer": normalizer,
        }

    def forward(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> Tensor:
        """Return Σ wᵢ·d(P·hᵢ, zᵢ) / normalizer."""
        return semantic_alignment_loss(
            states.hidden, **self.arguments(states, selection, normalizer)
        )

    @torch.no_grad()
    def logs(
        self, loss: Tensor, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss and the mean cosine."""
        far = loss
        if self.metric != "cosine":
            cosine = self.arguments(states, selection, normalizer) | {"metric": "cosine"}
            far = semantic_alignment_loss(states.hidden, **cosine)
        share = torch.where(normalizer > 0, selection["weights"].sum() / normalizer, 0)
        key = "cosine" if self.name == SemanticAlignmentTerm.name else f"{self.name}_cosine"
        return {self.name: loss.detach(), key: share - far.detach()}
