"""The choice among candidates that could all be kept, by its definition; twin of `choice/`.

Similarities are exact, where the core estimates them.
"""

from __future__ import annotations

from collections.abc import Sequence

from limbeck._reference.filters import jaccard, words

MASK = (1 << 64) - 1


def over_cap(
    candidates: Sequence[tuple[int, str, str]], max_per_question: int, shingle: int
) -> set[int]:
    """Which of the candidates, given as template, question and rationale, are dropped."""
    groups: dict[object, list[int]] = {}
    for index, (template, question, _) in enumerate(candidates):
        names = tuple(word for word, _ in words(question))
        groups.setdefault((template, names or question.strip()), []).append(index)
    dropped: set[int] = set()
    for group in groups.values():
        kept, left = group[:1], group[1:]
        while left and len(kept) < max_per_question:
            nearest = [
                max(jaccard([candidates[each][2]], [candidates[k][2]], shingle) for k in kept)
                for each in left
            ]
            # The one whose nearest kept one is farthest; of equal ones the first.
            kept.append(left.pop(nearest.index(min(nearest))))
        dropped.update(left)
    return dropped


def not_sampled(
    candidates: Sequence[tuple[int, int]], weights: Sequence[float | None], seed: int
) -> set[int]:
    """Which of the candidates, given as source and example id, are left out of the mixture."""
    sizes = [sum(source == n for source, _ in candidates) for n in range(len(weights))]
    scale = min(
        size / weight for size, weight in zip(sizes, weights, strict=True) if weight is not None
    )
    left_out: set[int] = set()
    for n, weight in enumerate(weights):
        if weight is None:
            continue
        members = [
            (mix(mix(seed) ^ example_id), index)
            for index, (source, example_id) in enumerate(candidates)
            if source == n
        ]
        # A hair more, lest rounding lose one of a share that is whole.
        take = int(weight * scale * (1.0 + 1e-12))
        left_out.update(index for _, index in sorted(members)[take:])
    return left_out


def mix(value: int) -> int:
    """Spreads every bit of a 64-bit number over all bits."""
    product = (value ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93
    return (product ^ product >> 64) & MASK
