"""Examples of one prompt to rows in which it stands once; twin of `trie.rs`."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck._reference.packing import pack, together
from limbeck._reference.render import KINDS

_PROMPT = {KINDS.index(kind) for kind in ("prompt", "question", "soft_prompt")}

Tokens = list[tuple[int, int]]
"""The id and the kind of each token."""


def sides(ids: Sequence[int], kinds: Sequence[int], chosen: int) -> list[Tokens]:
    """The one example, or the two of a pair, of which the first has `chosen` tokens."""
    tokens = list(zip(ids, kinds, strict=True))
    return [tokens[:chosen], tokens[chosen:]] if chosen else [tokens]


def common_prompt(examples: Sequence[Tokens]) -> tuple[tuple[int, int], ...]:
    """The prompt of all of them; empty where they differ, or one is a prompt and no more."""
    prompts = set()
    for tokens in examples:
        behind = [at for at, (_, kind) in enumerate(tokens) if kind not in _PROMPT]
        prompts.add(tuple(tokens[: behind[0]]) if behind else ())
    return prompts.pop() if len(prompts) == 1 else ()


def windows(
    candidates: Sequence[list[Tokens]], *, capacity: int, window: int
) -> list[list[list[int]]]:
    """The tries of each row, packed a window at a time, each as the candidates that it holds.

    Args:
        candidates: The sides of each.
        capacity: Tokens of a row.
        window: Candidates that are packed together.
    """
    rows = []
    stored = [sum(len(side) for side in candidate) for candidate in candidates]
    for inside in together(stored, window):
        groups: dict[object, list[int]] = {}
        for index in inside:
            prompt = common_prompt(candidates[index])
            groups.setdefault(prompt or index, []).append(index)
        tries = [
            each for key, group in groups.items() for each in _split(candidates, group, capacity)
        ]
        lengths = [_length(candidates, trie) for trie in tries]
        rows += [[tries[index] for index in row] for row in pack(lengths, capacity)]
    return rows


def _split(candidates: Sequence[list[Tokens]], group: list[int], capacity: int) -> list[list[int]]:
    """A group, or where it is longer than a row, what is dealt out behind its prompt."""
    if _length(candidates, group) <= capacity:
        return [group]
    prompt = len(common_prompt(candidates[group[0]]))
    own = [_length(candidates, [index]) - prompt for index in group]
    return [sorted(group[at] for at in part) for part in pack(own, capacity - prompt)]


def _length(candidates: Sequence[list[Tokens]], trie: Sequence[int]) -> int:
    """The tokens of a trie: its prompt once, and all that comes behind it."""
    prompt = len(common_prompt(candidates[trie[0]]))
    return prompt + sum(len(side) - prompt for index in trie for side in candidates[index])


def parents(candidates: Sequence[list[Tokens]], row: Sequence[Sequence[int]]) -> list[int]:
    """Of each example of a row, the one whose prompt it does without; −1 is none."""
    found: list[int] = []
    for trie in row:
        root = len(found)
        is_shared = bool(common_prompt(candidates[trie[0]]))
        count = sum(len(candidates[index]) for index in trie)
        found += [-1] + [root if is_shared else -1] * (count - 1)
    return found
