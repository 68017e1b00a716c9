"""Rows in which the examples of one prompt have it once, as `packing: trie` writes them.

The column `example_parents` names the example of the row whose prompt comes before an example's
tokens; −1 is none. A row is *unfolded* when every example has its prompt: that is what objectives
see, whatever the student is given. *Folded*, as it is stored, is what the student reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.spans import KINDS, PROMPT_KINDS

Row = Mapping[str, Any]
"""`input_ids`, `span_kinds` by token; `example_lengths`, `example_ids`, `domains` and, where there
are several templates, `example_templates`, of pairs `example_roles`, of shared prompts
`example_parents`, by example."""

PARENTS = "example_parents"
_PROMPT = [KINDS.index(kind) for kind in PROMPT_KINDS]
_BY_EXAMPLE = ("example_ids", "domains", "example_templates", "example_roles")


def is_trie(dataset: Any) -> bool:
    """Whether the examples of some row may share a prompt."""
    return PARENTS in (getattr(dataset, "column_names", None) or ())


@dataclass(frozen=True)
class Prefixes:
    """What comes before the examples of one row.

    Attributes:
        lengths: int64 `[E]`, the tokens that each example has in the row.
        starts: int64 `[E]`, where they begin.
        parents: int64 `[E]`, the example whose prompt comes before them; −1 is none.
        prompts: int64 `[E]`, the tokens of each example's prompt, where it has its own.
    """

    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    parents: NDArray[np.int64]
    prompts: NDArray[np.int64]

    @classmethod
    def of(cls, row: Row) -> Prefixes:
        """Find them in a row that has the column."""
        lengths = np.asarray(row["example_lengths"], np.int64)
        starts = np.cumsum(lengths) - lengths
        is_prompt = np.isin(row["span_kinds"], _PROMPT)
        written = np.append(np.flatnonzero(~is_prompt), len(is_prompt))
        first = written[np.searchsorted(written, starts)]
        prompts = np.minimum(first - starts, lengths)
        return cls(lengths, starts, np.asarray(row[PARENTS], np.int64), prompts)

    @property
    def before(self) -> NDArray[np.int64]:
        """How many tokens come before each example's own, `[E]`."""
        return np.where(self.parents < 0, 0, self.prompts[self.parents])

    @property
    def sources(self) -> NDArray[np.int64]:
        """Which token of the row each token of the unfolded row is."""
        before = self.before
        lengths = before + self.lengths
        example = np.repeat(np.arange(len(lengths)), lengths)
        within = np.arange(len(example)) - (np.cumsum(lengths) - lengths)[example]
        own = self.starts[example] + within - before[example]
        prompt = self.starts[self.parents[example]] + within
        return np.where(within < before[example], prompt, own)


def unfold(row: Row) -> Row:
    """Return a row with its prompt before every example; one without the column is returned as is.

    Args:
        row: A row of prepared data; lists or arrays.
    """
    if PARENTS not in row:
        return row
    prefixes = Prefixes.of(row)
    sources = prefixes.sources
    return {
        **{name: values for name, values in row.items() if name != PARENTS},
        "input_ids": np.asarray(row["input_ids"])[sources],
        "span_kinds": np.asarray(row["span_kinds"])[sources],
        "example_lengths": prefixes.lengths + prefixes.before,
    }


def separate(row: Row) -> Iterator[Row]:
    """Yield each example of a row as a row of its own, with its prompt.

    Args:
        row: A row of prepared data; lists or arrays.
    """
    row = unfold(row)
    ends = np.cumsum(row["example_lengths"])
    for example, (length, end) in enumerate(zip(row["example_lengths"], ends, strict=True)):
        one = {name: row[name][example : example + 1] for name in _BY_EXAMPLE if name in row}
        tokens = slice(int(end - length), int(end))
        one |= {name: row[name][tokens] for name in ("input_ids", "span_kinds")}
        yield one | {"example_lengths": [int(length)]}


@dataclass(frozen=True)
class Folded:
    """A batch of rows as they are stored, padded on the right to the longest.

    Attributes:
        input_ids: int64 `[B, T]`; padding has the pad id.
        positions: int64 `[B, T]`; behind a shared prompt they go on in every branch.
        groups: int64 `[B, T]`: tokens of another group are never seen; −1 is padding.
        branches: int64 `[B, T]`: of its group a token sees what is 0, the prompt, and its own.
        sources: int64 `[N]`: which of the B·T tokens each token of the unfolded batch is, itself
            padded to the longest; in its padding, any.
    """

    input_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    groups: NDArray[np.int64]
    branches: NDArray[np.int64]
    sources: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Row], pad_id: int = 0) -> Folded:
        """Lay `rows` out side by side; all have the column.

        Args:
            rows: Packed rows; lists or arrays.
            pad_id: Token id of the padding.
        """
        prefixes = [Prefixes.of(row) for row in rows]
        sources = [each.sources for each in prefixes]
        width = max(len(row["input_ids"]) for row in rows)
        unfolded_width = max(len(each) for each in sources)
        input_ids = np.full((len(rows), width), pad_id, np.int64)
        positions = np.tile(np.arange(width), (len(rows), 1))
        groups = np.full((len(rows), width), -1, np.int64)
        branches = np.zeros((len(rows), width), np.int64)
        taken = np.zeros((len(rows), unfolded_width), np.int64)
        for b, (row, of_row) in enumerate(zip(rows, prefixes, strict=True)):
            used = len(row["input_ids"])
            example = np.repeat(np.arange(len(of_row.lengths)), of_row.lengths)
            within = np.arange(used) - of_row.starts[example]
            parent = of_row.parents[example]
            input_ids[b, :used] = row["input_ids"]
            positions[b, :used] = within + of_row.before[example]
            positions[b, used:] -= used
            groups[b, :used] = np.where(parent < 0, example, parent)
            is_prompt = (parent < 0) & (within < of_row.prompts[example])
            branches[b, :used] = np.where(is_prompt, 0, 1 + example)
            taken[b, : len(sources[b])] = sources[b] + b * width
        return cls(input_ids, positions, groups, branches, taken.ravel())
