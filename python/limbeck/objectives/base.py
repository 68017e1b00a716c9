"""An objective has two sides: a term on the host picks rows, a module on the device measures them.

The term is a frozen value that travels to the loader's workers; it turns span kinds into rows and
weights. The module is part of the wrapped model, so that optimizer, DDP and FSDP see whatever it
trains, and turns hidden states into a loss, by itself or beside the others in one fused head
(`measured`). Every loss is `Σ wᵢ·lossᵢ / normalizer`, where the
normalizer is the term's own Σ w over all ranks and accumulated micro-batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from limbeck.errors import InputError
from limbeck.layers import LAST
from limbeck_kernels import distillation_head

if TYPE_CHECKING:
    from limbeck.data import Layout
    from limbeck.domains import Domains
    from limbeck.head import Head
    from limbeck.target_store import TargetStore


@dataclass(frozen=True)
class States:
    """What the student made of a batch.

    Attributes:
        hidden: Hidden states `[N, D]` of all N = B·T tokens, row-major, of the last layer unless
            `at` gave those of another.
        head: The student's language-model head.
        others: The same of the other layers that objectives read, by their numbers.
    """

    hidden: Tensor
    head: Head
    others: Mapping[int, Tensor] = field(default_factory=dict)

    def at(self, layer: int) -> States:
        """Return the states of a layer in the place of the last."""
        return self if layer == LAST else replace(self, hidden=self.others[layer])


@dataclass(frozen=True)
class Term(ABC):
    """The host side of an objective, and its options.

    Attributes:
        columns: Columns of the prepared rows that not all of them have, and how to get each.
        weight: How much the objective counts in the sum of all.
        label: What logs call it instead of its name; tells two objectives of one name apart.
    """

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, str]] = {}
    weight: float = 1.0
    label: str = ""

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.weight > 0:
            raise InputError(
                f"train.objectives: {self.name}: weight is {self.weight:g}; "
                "give a positive number, or take the term out"
            )

    @property
    def key(self) -> str:
        """What tells the objective from the others of a training."""
        return self.label or self.name

    @abstractmethod
    def select(self, layout: Layout) -> dict[str, Any]:
        """Pick what is trained.

        Args:
            layout: The batch.

        Returns:
            `rows` (int64 `[R]`, indices into the flattened tokens), `weights` (float32 `[R]`), and
            whatever else `load` needs; arrays or CPU tensors.
        """

    def load(self, selection: dict[str, Any]) -> dict[str, Any]:
        """Fetch what stands on disk for a selection that is about to be trained on.

        Args:
            selection: What `select` returned; it is cheap enough to be made for all data at once.

        Returns:
            What the module of `build` reads; by default the selection.
        """
        return selection

    def with_targets(self, targets: TargetStore) -> Term:
        """Return the term with cached target states, if it reads any.

        Args:
            targets: The states by example id.
        """
        del targets
        return self

    def with_domains(self, domains: Domains, seed: int) -> Term:
        """Return the term with the domains of the data, if it asks for any.

        Args:
            domains: Those of all examples.
            seed: Of what the term draws.
        """
        del domains, seed
        return self

    @abstractmethod
    def build(self, width: int) -> Objective:
        """Make the device side.

        Args:
            width: The width of the student's hidden states.
        """


class Objective(nn.Module, ABC):
    """The device side of an objective.

    Attributes:
        part: The keyword under which `distillation_head` takes the objective.
        learning_rate: Of what the objective trains; None is the training's.
        weight_decay: Likewise.
        layer: Whose states the objective is given; the student's number for it once attached.
    """

    part: ClassVar[str]
    learning_rate: float | None = None
    weight_decay: float | None = None
    layer: int = LAST

    def __init__(self, name: str, weight: float) -> None:
        super().__init__()
        self.name = name
        self.weight = weight

    def advance(self, progress: float) -> None:
        """Take note of how far the training is.

        Args:
            progress: Share of the optimizer steps that are done, 0…1.
        """
        del progress

    @abstractmethod
    def arguments(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> dict[str, Any] | None:
        """Return what `distillation_head` takes for this objective.

        Args:
            states: Those of the objective's layer, and the head.
            selection: What the term's `load` returned, on the device.
            normalizer: 0-d, the Σ of weights over everything that makes up one optimizer step.

        Returns:
            Arguments by name, None where only `forward` gives this student's loss.
        """

    @abstractmethod
    def forward(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> Tensor:
        """Measure the selected rows; the arguments are those of `arguments`.

        Returns:
            The loss, not yet multiplied by `weight`.
        """

    def logs(
        self,
        loss: Tensor,
        states: States,  # noqa: ARG002 (for objectives that tell more than their loss)
        selection: Mapping[str, Tensor],  # noqa: ARG002
        normalizer: Tensor,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Return detached quantities to log beside the loss, normalized like it.

        Their sum over micro-batches and ranks is the step's value.
        """
        return {self.name: loss.detach()}


def measured(
    objectives: Sequence[Objective],
    states: States,
    selections: Mapping[str, Mapping[str, Tensor]],
    normalizers: Iterable[Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of all objectives, and what they log.

    Objectives that can be are measured by one fused head, which writes the gradient of the states
    once instead of once an objective; the numbers are the same. The head reads the last layer and
    has one place a part: the first objective that can be fused takes it, any other of that part is
    measured by itself, as is one of another layer.

    Args:
        objectives: In the order of the normalizers; at least one.
        states: Of every layer that an objective reads, and the head.
        selections: What each term's `load` returned, by the term's key.
        normalizers: One 0-d tensor an objective.
    """
    inputs = [
        (states.at(objective.layer), selections[objective.name], normalizer)
        for objective, normalizer in zip(objectives, normalizers, strict=True)
    ]
    parts: dict[str, dict[str, Any]] = {}
    takers: dict[str, str] = {}  # the name of the objective that a part is
    for objective, given in zip(objectives, inputs, strict=True):
        can_join = objective.layer == LAST and objective.part not in parts
        arguments = objective.arguments(*given) if can_join else None
        if arguments is not None:
            parts[objective.part], takers[objective.part] = arguments, objective.name
    fused = distillation_head(states.hidden, **parts)._asdict() if len(parts) > 1 else {}
    total: Tensor | None = None
    logs: dict[str, Tensor] = {}
    for objective, given in zip(objectives, inputs, strict=True):
        loss = fused.get(objective.part)
        if loss is None or takers[objective.part] != objective.name:
            loss = objective(*given)
        total = objective.weight * loss + (0 if total is None else total)
        logs |= objective.logs(loss, *given)
    assert total is not None
    return total, logs
