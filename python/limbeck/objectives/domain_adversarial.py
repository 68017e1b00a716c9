"""A classifier learns which domain a question is of, and the student's states not to show it.

PRADA adds to the loss −λ times a domain classifier's, through a gradient-reversal layer (arXiv
2501.09804): the classifier's parameters follow the gradient of its own loss, the states −λ times
it. What is classified (the mean state of the question, the one span that source and target share)
and the schedule of λ (DANN, arXiv 1505.07818) are our reading.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.domains import Domains
from limbeck.errors import InputError
from limbeck.layers import LAST
from limbeck.objectives.base import Objective, States, Term
from limbeck.spans import KINDS
from limbeck_kernels import domain_adversarial_loss, reversed_linear
from limbeck_kernels.common import accumulation_dtype

if TYPE_CHECKING:
    from limbeck.data import Layout

POOLINGS = ("mean", "last", "token")
CLASSES = ("domains", "source_target")
CONTROLS = ("none", "permuted")
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,  # noqa: ARG005 (a schedule is asked for every step)
    "dann": lambda progress: 2 / (1 + math.exp(-10 * progress)) - 1,
}
_PLACE = "train.objectives: domain_adversarial"
_QUESTION = KINDS.index("question")


@dataclass(frozen=True)
class DomainAdversarialTerm(Term):
    """What is classified, and how hard the student works against it.

    Attributes:
        strength: λ at its largest; the states' gradient is −`weight`·λ times the classifier's.
        schedule: `constant`, `dann` (2/(1 + e^(−10p)) − 1 of λ at progress p), or in Python any
            function from progress to the share of λ.
        layer: Whose states are classified, and from which the reversed gradient goes down: 0 are
            the embeddings, -1 is the last. What is above feels nothing of it.
        pooling: Of the question's states: their `mean`, the `last`, or each `token` by itself.
        hidden_size: Width of the classifier's hidden layer; 0 makes it linear.
        learning_rate: Of the classifier; None is the training's.
        weight_decay: Of the classifier; None is the training's. A classifier that may grow as it
            likes is soon certain, and teaches the states nothing, or is overrun by them.
        classes: `domains` tells all apart, `source_target` only these two.
        control: `permuted` deals the domains out again among all examples, as the run's seed
            says: what the adversary then does it does not owe to the domains.
        target: Names of the target domains; by default those that have questions without answers
            alone. Source and target then count alike, however many examples each has; without
            any, all examples count alike.
        domains: Those of the data; the trainer fills it in.
    """

    name: ClassVar[str] = "domain_adversarial"
    strength: float = 0.1
    schedule: str | Callable[[float], float] = "dann"
    layer: int = LAST
    pooling: str = "mean"
    hidden_size: int = 0
    learning_rate: float | None = None
    weight_decay: float | None = None
    classes: str = "domains"
    control: str = "none"
    target: tuple[str, ...] = ()
    domains: Domains | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            InputError: One is unknown or out of range.
        """
        super().__post_init__()
        options = {"pooling": POOLINGS, "classes": CLASSES, "control": CONTROLS}
        for option, known in options.items():
            if getattr(self, option) not in known:
                raise InputError(
                    f"{_PLACE}: {option}: {getattr(self, option)!r}; use {', '.join(known)}"
                )
        if not callable(self.schedule) and self.schedule not in SCHEDULES:
            raise InputError(f"{_PLACE}: schedule: {self.schedule!r}; use {', '.join(SCHEDULES)}")
        if isinstance(self.strength, bool) or not isinstance(self.strength, int | float):
            raise InputError(f"{_PLACE}: strength: {self.strength!r}; give a number")
        if not 0 <= self.strength < math.inf:
            raise InputError(f"{_PLACE}: strength: {self.strength}; give 0 or more")
        if isinstance(self.layer, bool) or not isinstance(self.layer, int):
            raise InputError(f"{_PLACE}: layer: {self.layer!r}; give a number, -1 for the last")
        if not isinstance(self.hidden_size, int) or self.hidden_size < 0:
            raise InputError(f"{_PLACE}: hidden_size: {self.hidden_size!r}; give a width, or 0")
        rate = self.learning_rate
        if rate is not None and not (isinstance(rate, int | float) and rate > 0):
            raise InputError(f"{_PLACE}: learning_rate: {rate!r}; give a positive number")
        decay = self.weight_decay
        if decay is not None and not (isinstance(decay, int | float) and 0 <= decay < math.inf):
            raise InputError(f"{_PLACE}: weight_decay: {decay!r}; give 0 or more")
        if isinstance(self.target, str) or any(not isinstance(n, str) for n in self.target):
            raise InputError(f"{_PLACE}: target: {self.target!r}; give a list of domains")

    def with_domains(self, domains: Domains, seed: int) -> Term:
        """Return the term with the data's domains, and the target that these say.

        Raises:
            InputError: There are too few to tell apart, or a target is none of them.
        """
        present = [domains.names[number] for number in domains.examples]
        target = self.target or tuple(domains.names[n] for n in sorted(domains.unlabelled))
        if self.classes == "source_target" and not target:
            raise InputError(
                f"{_PLACE}: target: missing, and no domain is unlabelled; name the target domains"
            )
        for name in target:
            if name not in present:
                raise InputError(
                    f"{_PLACE}: target: no example is of the domain {name!r}; there are "
                    f"{', '.join(present) or 'none'}"
                )
        if len(present) < 2 or (target and set(present) <= set(target)):
            raise InputError(
                f"{_PLACE}: the prepared data have the domains {', '.join(present) or '(none)'}, "
                "which leaves nothing to tell apart; give records a `domain`, or `data.paths` one"
            )
        if self.control == "permuted":
            domains = domains.dealt_out_again(seed)
        return dataclasses.replace(self, domains=domains, target=target)

    def select(self, layout: Layout) -> dict[str, Any]:
        """Pick the questions of the examples that have a domain.

        Returns:
            `rows` and `weights`, one an item: the example's last question token with pooling, else
            every question token, which share the example's weight. `tokens` (int64): all question
            tokens; `segments` (int64): which of the batch's chosen examples each is of; `ends`
            (int64): where each chosen example's question ends; `classes` (int64), one each.
        """
        classes_K, weights_K = self._tables
        domain_E = layout.domains
        if self.control == "permuted":
            domain_E = self._known.of(layout.example_ids, otherwise=domain_E)
        domain_N = np.where(layout.examples >= 0, domain_E[layout.examples], -1)
        tokens_M = np.flatnonzero((layout.span_kinds == _QUESTION) & (domain_N >= 0))
        example_M = layout.examples[tokens_M]
        _, segments_M, counts_S = np.unique(example_M, return_inverse=True, return_counts=True)
        last_S = np.cumsum(counts_S) - 1
        domain_S = domain_N[tokens_M[last_S]]
        rows = tokens_M if self.pooling == "token" else tokens_M[last_S]
        weights = weights_K[domain_S]
        if self.pooling == "token":
            weights = (weights / counts_S)[segments_M]
        return {
            "rows": rows,
            "weights": weights.astype(np.float32),
            "tokens": tokens_M,
            "segments": segments_M.astype(np.int64),
            "ends": tokens_M[last_S] + 1,
            "classes": classes_K[domain_S],
        }

    def build(self, width: int) -> Objective:
        """Make the classifier."""
        classes_K, _ = self._tables
        return DomainAdversarial(self, width, int(classes_K.max()) + 1)

    @property
    def _tables(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Class and weight of each domain, by its number.

        Source examples weigh N/2Ns and target ones N/2Nt, so that an example weighs 1 on average.
        """
        names, examples = self._known.names, self._known.examples
        is_target = np.array([name in self.target for name in names])
        count = np.array([examples.get(number, 0) for number in range(len(names))])
        if self.classes == "source_target":
            classes = is_target.astype(np.int64)
        else:
            classes = np.arange(len(names))
        weights = np.ones(len(names))
        if self.target:
            of_group = np.where(is_target, count[is_target].sum(), count[~is_target].sum())
            weights = count.sum() / (2 * of_group)
        return classes, weights

    @property
    def _known(self) -> Domains:
        if self.domains is None:
            raise InputError(
                f"{_PLACE} needs the domains of the data; prepare records that have a `domain`"
            )
        return self.domains


class DomainAdversarial(Objective):
    """Cross-entropy of a domain classifier, its gradient reversed for the states.

    Args:
        term: The options.
        width: Width of the student's states.
        classes: How many there are.
    """

    part = "domain"
    strength: Tensor

    def __init__(self, term: DomainAdversarialTerm, width: int, classes: int) -> None:
        super().__init__(term.key, term.weight)
        self.layer = term.layer
        self.pooling = term.pooling
        self.learning_rate = term.learning_rate
        self.weight_decay = term.weight_decay
        schedule = term.schedule
        self._schedule = schedule if callable(schedule) else SCHEDULES[schedule]
        self._largest = float(term.strength)
        hidden = term.hidden_size
        self.first = nn.Linear(width, hidden) if hidden else None
        self.classifier = nn.Linear(hidden or width, classes)
        # A tensor, so that a compiled loss takes every value of it.
        self.register_buffer("strength", torch.zeros(()), persistent=False)
        self.advance(0.0)

    def advance(self, progress: float) -> None:
        """Set λ."""
        self.strength.fill_(self._largest * self._schedule(progress))

    def arguments(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> dict[str, Any] | None:
        """Return the loss's arguments; None with a hidden layer."""
        if self.first is not None:
            return None
        tokens, n_tokens = selection["tokens"], states.hidden.shape[0]
        chosen = torch.zeros(n_tokens, dtype=torch.bool, device=tokens.device)
        weights, classes = selection["weights"], selection["classes"]
        if self.pooling == "token":
            weights = weights.new_zeros(n_tokens).index_copy(0, tokens, weights)
        return {
            "weight": self.classifier.weight,
            "bias": self.classifier.bias,
            "domains": classes,
            "strength": self.strength,
            "weights": weights,
            "select": chosen.index_fill(0, tokens, True),
            "cu_seqlens": F.pad(selection["ends"], (1, 0)),
            "pooling": self.pooling,
            "normalizer": normalizer,
        }

    def forward(
        self, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> Tensor:
        """Return Σ wᵢ·nllᵢ / normalizer."""
        arguments = self.arguments(states, selection, normalizer)
        if arguments is not None:
            return domain_adversarial_loss(states.hidden, **arguments)
        logits = self._logits(states, selection)
        losses = F.cross_entropy(logits, self._classes(selection), reduction="none")
        total = (losses * selection["weights"]).sum()
        return total / torch.where(normalizer == 0, 1.0, normalizer)

    def _classes(self, selection: Mapping[str, Tensor]) -> Tensor:
        classes = selection["classes"]
        return classes[selection["segments"]] if self.pooling == "token" else classes

    def _logits(self, states: States, selection: Mapping[str, Tensor]) -> Tensor:
        """Return the classifier's logits `[items, K]`, in full precision."""
        dtype = accumulation_dtype(states.hidden.dtype)
        features = states.hidden[selection["rows"]].to(dtype)
        if self.pooling == "mean":
            states_MD = states.hidden[selection["tokens"]].to(dtype)
            segments, items = selection["segments"], features.shape[0]
            sums = states_MD.new_zeros(features.shape).index_add(0, segments, states_MD)
            features = sums / torch.bincount(segments, minlength=items)[:, None]
        with torch.autocast(features.device.type, enabled=False):
            if self.first is not None:
                first = self.first
                features = F.gelu(
                    reversed_linear(features, first.weight, first.bias, strength=self.strength)
                )
            weight, bias = self.classifier.weight.to(dtype), self.classifier.bias.to(dtype)
            return F.linear(features, weight, bias)

    @torch.no_grad()
    def logs(
        self, loss: Tensor, states: States, selection: Mapping[str, Tensor], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss, the classifier's accuracy (weighted as the loss is), and λ."""
        right = self._logits(states, selection).argmax(-1) == self._classes(selection)
        weights = selection["weights"]
        divisor = torch.where(normalizer == 0, 1.0, normalizer)
        return {
            self.name: loss.detach(),
            f"{self.name}_accuracy": (weights * right).sum() / divisor,
            f"{self.name}_strength": self.strength * weights.sum() / divisor,
        }
