"""An objective has two sides: a term on the host picks rows, a module on the device measures them.

The term is a frozen value that travels to the loader's workers; it turns span kinds into rows and
weights. The module is part of the wrapped model, so that optimizer, DDP and FSDP see whatever it
trains, and turns hidden states into a loss. Every loss is `Σ wᵢ·lossᵢ / normalizer`, where the
normalizer is the term's own Σ w over all ranks and accumulated micro-batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from limbeck.errors import InputError

if TYPE_CHECKING:
    from limbeck.data import Layout
    from limbeck.head import Head
    from limbeck.target_store import TargetStore


@dataclass(frozen=True)
class States:
    """What the student made of a batch.

    Attributes:
        hidden: Last hidden states `[N, D]` of all N = B·T tokens, row-major.
        head: The student's language-model head.
    """

    hidden: Tensor
    head: Head


@dataclass(frozen=True)
class Term(ABC):
    """The host side of an objective, and its options.

    Attributes:
        weight: How much the objective counts in the sum of all.
    """

    name: ClassVar[str]
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.weight > 0:
            raise InputError(
                f"train.objectives: {self.name}: weight is {self.weight:g}; "
                "give a positive number, or take the term out"
            )

    @abstractmethod
    def select(self, layout: Layout) -> dict[str, Any]:
        """Pick what is trained.

        Args:
            layout: The batch.

        Returns:
            `rows` (int64 `[R]`, indices into the flattened tokens), `weights` (float32 `[R]`), and
            whatever else `build`'s module reads; arrays or CPU tensors.
        """

    def with_targets(self, targets: TargetStore) -> Term:
        """Return the term with cached target states, if it reads any.

        Args:
            targets: The states by example id.
        """
        del targets
        return self

    @abstractmethod
    def build(self, width: int) -> Objective:
        """Make the device side.

        Args:
            width: The width of the student's hidden states.
        """


class Objective(nn.Module, ABC):
    """The device side of an objective."""

    def __init__(self, name: str, weight: float) -> None:
        super().__init__()
        self.name = name
        self.weight = weight

    @abstractmethod
    def forward(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Measure the selected rows.

        Args:
            states: The student's hidden states and head.
            selection: What the term's `select` returned, on the device.
            normalizer: 0-d, the Σ of weights over everything that makes up one optimizer step.

        Returns:
            The loss, not yet multiplied by `weight`, and detached quantities to log, normalized
            like it: their sum over micro-batches and ranks is the step's value.
        """
