"""Vote: several sampled answers to a question become one (self-consistency, arXiv 2203.11171)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Vote", "vote"]


@dataclass(frozen=True)
class Vote:
    """The outcome of a vote.

    Attributes:
        answer: The answer with most votes; None where no sample gave one.
        counts: Each distinct answer, as it was written first, with its votes; most votes first.
    """

    answer: str | None
    counts: tuple[tuple[str, int], ...]


def vote(answers: Sequence[str | None]) -> Vote:
    """Count equal answers together and return the commonest.

    Answers are equal as for the answer filter; one that equals several joins the group that began
    first. Of groups with equally many votes the one that began first wins. Samples without an
    answer do not vote.

    Args:
        answers: One a sample, in the order of sampling.

    Example:
        >>> vote(["18", "20", "$18.00", None])
        Vote(answer='18', counts=(('18', 2), ('20', 1)))
    """
    from limbeck._native import answers_equal

    counts: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            group = next((first for first in counts if answers_equal(first, answer)), answer)
            counts[group] = counts.get(group, 0) + 1
    ranked = sorted(counts.items(), key=lambda each: -each[1])  # stable: the first stays first
    return Vote(ranked[0][0] if ranked else None, tuple(ranked))
