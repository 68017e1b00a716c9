"""Rows that share prompts, made without the Rust core."""

from __future__ import annotations

import numpy as np

PROMPT = (0, 1, 0)  # kinds of a prompt's three parts: prompt, question, prompt


def trie_rows(count=3, seed=0, vocab=300, *, pairs=False):
    """Rows of tries: of each, one prompt and one to four completions; of pairs an even number.

    The lengths of prompts and completions vary, so rows are padded, folded and unfolded alike.
    """
    rng = np.random.default_rng(seed)
    rows, next_id = [], 0
    for _ in range(count):
        ids, kinds, lengths, parents, example_ids, roles = [], [], [], [], [], []
        for _ in range(int(rng.integers(1, 4))):
            root = len(lengths)
            members = int(rng.integers(1, 3)) * 2 if pairs else int(rng.integers(1, 5))
            for member in range(members):
                before = 0 if member else int(rng.integers(4, 9))
                own = int(rng.integers(2, 6))
                ids.append(rng.integers(2, vocab, size=before + own))
                prompt = np.repeat(PROMPT, [1, max(0, before - 2), 1]) if before else []
                kinds.append([*prompt, *np.repeat([2, 3, 6], [1, own - 2, 1])])
                lengths.append(before + own)
                parents.append(root if member else -1)
                example_ids.append(next_id)
                roles.append(1 + member % 2)
                next_id += member % 2 if pairs else 1
        row = {
            "input_ids": np.concatenate(ids),
            "span_kinds": np.concatenate(kinds).astype(np.uint8),
            "example_lengths": lengths,
            "example_ids": example_ids,
            "domains": [0] * len(lengths),
            "example_parents": parents,
        }
        rows.append(row | ({"example_roles": roles} if pairs else {}))
    return rows
