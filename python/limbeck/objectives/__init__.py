"""The weighted terms that training minimizes, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.config import suggest
from limbeck.domains import Domains
from limbeck.errors import InputError
from limbeck.objectives.base import Objective, States, Term
from limbeck.objectives.cross_entropy import CrossEntropyTerm
from limbeck.objectives.domain_adversarial import DomainAdversarialTerm
from limbeck.objectives.orpo import OrpoTerm
from limbeck.objectives.semantic_alignment import SemanticAlignmentTerm
from limbeck.target_store import TargetStore

__all__ = ["TERMS", "Objective", "States", "Term", "make_terms"]

TERMS: dict[str, type[Term]] = {
    term.name: term
    for term in (CrossEntropyTerm, SemanticAlignmentTerm, DomainAdversarialTerm, OrpoTerm)
}

_PLACE = "train.objectives"


def make_terms(
    specifications: Sequence[Mapping[str, Any]],
    targets: TargetStore | None = None,
    domains: Domains | None = None,
    seed: int = 0,
) -> list[Term]:
    """Turn `{"name": …, "weight": …, …options}` into terms.

    Args:
        specifications: One mapping a term.
        targets: Cached states, for the terms that read them.
        domains: Those of the data, for the terms that tell them apart.
        seed: Of what such terms draw.

    Raises:
        InputError: A name or an option is unknown or out of range, or a name stands twice.

    Example:
        >>> [term.weight for term in make_terms([{"name": "cross_entropy", "weight": 2.0}])]
        [2.0]
    """
    terms: list[Term] = []
    for specification in specifications:
        options = dict(specification)
        name = options.pop("name", None)
        if name not in TERMS:
            raise InputError(f"{_PLACE}: no objective {name!r}; {suggest(str(name), TERMS)}")
        own = {each.name for each in dataclasses.fields(TERMS[name])} - {"targets", "domains"}
        for option in options:
            if option not in own:
                raise InputError(f"{_PLACE}: {name}: no option {option!r}; {suggest(option, own)}")
        weight = options.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InputError(f"{_PLACE}: {name}: weight: {weight!r}; give a number")
        term = TERMS[name](**options)
        if not isinstance(term.label, str) or not (term.label or "_").isidentifier():
            raise InputError(f"{_PLACE}: {name}: label: {term.label!r}; give a word")
        if any(term.key == other.key for other in terms):
            raise InputError(
                f"{_PLACE}: {term.key} stands twice; give it once, or each a `label` of its own"
            )
        term = term if targets is None else term.with_targets(targets)
        terms.append(term if domains is None else term.with_domains(domains, seed))
    if not terms:
        raise InputError(f"{_PLACE}: none; give at least one")
    return terms
