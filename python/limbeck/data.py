"""From prepared rows to batches: positions that isolate packed examples, and what each term trains.

Span kinds are stored, labels are not: which token is trained, and how hard, is decided here, on
the host, in the loader's workers. So the rows that need logits are known before the batch reaches
the device, and nothing ever waits for it to find them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.errors import InputError
from limbeck.spans import KINDS, ROLES
from limbeck.trie import PARENTS, Folded, Row, separate, unfold

if TYPE_CHECKING:
    from datasets import Dataset

    from limbeck.objectives.base import Term

PADDING = -1
NO_DOMAIN = -1


@dataclass(frozen=True)
class Layout:
    """What stands where in a padded batch, flattened to N = B·T tokens, row-major.

    Attributes:
        input_ids: int64 `[N]`; padding has the pad id.
        span_kinds: uint8 `[N]`, codes; meaningless in padding.
        positions: int64 `[N]`, from 0 in every example and again in the padding of a row.
        examples: int64 `[N]`, which of the batch's E examples a token is of; −1 is padding.
        example_ids: int64 `[E]`, the examples' ids in the prepared data.
        templates: int64 `[E]`, the number of each example's template.
        domains: int64 `[E]`, the number of each example's domain; −1 is none.
        roles: int64 `[E]`, codes of `ROLES`.
        shape: B and T.
    """

    input_ids: NDArray[np.int64]
    span_kinds: NDArray[np.uint8]
    positions: NDArray[np.int64]
    examples: NDArray[np.int64]
    example_ids: NDArray[np.int64]
    templates: NDArray[np.int64]
    domains: NDArray[np.int64]
    roles: NDArray[np.int64]
    shape: tuple[int, int]

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """Tokens that the token before them predicts: all but an example's first."""
        return (self.examples != PADDING) & (self.positions > 0)

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Tokens that show what not to write: those of the rejected example of a pair."""
        return (self.examples != PADDING) & (self.roles[self.examples] == ROLES.index("rejected"))

    @classmethod
    def of(cls, rows: Sequence[Row], pad_id: int = 0) -> Layout:
        """Lay `rows` out side by side, padded on the right to the longest.

        Args:
            rows: Packed rows; lists or arrays. Those that share prompts are unfolded.
            pad_id: Token id of the padding.
        """
        rows = [unfold(row) for row in rows]
        width = max(len(row["input_ids"]) for row in rows)
        shape = (len(rows), width)
        input_ids = np.full(shape, pad_id, np.int64)
        span_kinds = np.zeros(shape, np.uint8)
        positions = np.empty(shape, np.int64)
        example = np.full(shape, PADDING, np.int64)
        examples_before = 0
        for b, row in enumerate(rows):
            lengths = np.asarray(row["example_lengths"], np.int64)
            used = int(lengths.sum())
            starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
            input_ids[b, :used] = row["input_ids"]
            span_kinds[b, :used] = row["span_kinds"]
            # Restarting positions keep packed examples apart; padding is one more segment.
            positions[b, :used] = np.arange(used) - starts
            positions[b, used:] = np.arange(width - used)
            example[b, :used] = np.repeat(np.arange(len(lengths)), lengths) + examples_before
            examples_before += len(lengths)
        return cls(
            input_ids.ravel(),
            span_kinds.ravel(),
            positions.ravel(),
            example.ravel(),
            np.concatenate([np.asarray(row["example_ids"], np.int64) for row in rows]),
            np.concatenate([_by_example(row, "example_templates", 0) for row in rows]),
            np.concatenate([_by_example(row, "domains", NO_DOMAIN) for row in rows]),
            np.concatenate([_by_example(row, "example_roles", 0) for row in rows]),
            shape,
        )


def _by_example(row: Row, column: str, default: int) -> NDArray[np.int64]:
    own = row.get(column)
    return np.asarray([default] * len(row["example_ids"]) if own is None else own, np.int64)


class Collator:
    """Makes a batch of prepared rows.

    A batch has `input_ids` and `position_ids` (int64 `[B, T]`; no attention mask, which would
    switch the isolation by positions off), `selections` (per term what it trains: `rows`, indices
    into the flattened tokens, `weights` and what else the term needs), `items` (float32, per term
    the Σ of its weights) and `counts` (plain integers: tokens, trained tokens, examples).

    Of rows that share prompts, `input_ids` and `position_ids` are those of the folded rows, and
    `trie` has what turns these into what the objectives see: `groups` and `branches`, of which the
    masks are made, and `sources`, the token that each of the unfolded rows is. To these `rows`
    refers, so every label has a source of its own, though several are one token of the student's.

    Args:
        terms: The objectives' host side.
        pad_id: Token id of the padding.
        is_separate: Make each example a row of its own, with its prompt, for students that cannot
            read several in one.
    """

    def __init__(self, terms: Sequence[Term], pad_id: int = 0, is_separate: bool = False) -> None:
        self.terms = tuple(terms)
        self.pad_id = pad_id
        self.is_separate = is_separate

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Collate rows.

        Raises:
            InputError: An example would train nothing.
        """
        if self.is_separate:
            rows = [one for row in rows for one in separate(row)]
        is_trie = all(PARENTS in row for row in rows)
        layout = Layout.of(rows, self.pad_id)
        selections = {term.key: term.select(layout) for term in self.terms}
        refuse_untrained(layout, selections)
        tensors = {
            term.key: {
                key: torch.as_tensor(value)
                for key, value in term.load(selections[term.key]).items()
            }
            for term in self.terms
        }
        trained = np.unique(np.concatenate([each["rows"] for each in selections.values()]))
        return {
            **(_folded(rows, self.pad_id) if is_trie else _as_laid_out(layout)),
            "selections": tensors,
            "items": torch.tensor([float(s["weights"].sum()) for s in selections.values()]),
            "counts": {
                "tokens": sum(len(row["input_ids"]) for row in rows),
                "trained": len(trained),
                "examples": len(layout.example_ids),
            },
        }


def _as_laid_out(layout: Layout) -> dict[str, Any]:
    return {
        "input_ids": torch.from_numpy(layout.input_ids).view(layout.shape),
        "position_ids": torch.from_numpy(layout.positions).view(layout.shape),
    }


def _folded(rows: Sequence[Row], pad_id: int) -> dict[str, Any]:
    folded = Folded.of(rows, pad_id)
    names = ("groups", "branches", "sources")
    return {
        "input_ids": torch.from_numpy(folded.input_ids),
        "position_ids": torch.from_numpy(folded.positions),
        "trie": {name: torch.from_numpy(getattr(folded, name)) for name in names},
    }


def refuse_untrained(layout: Layout, selections: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a batch with an example that no term gives any weight.

    Such an example costs its compute and teaches nothing, and a batch of them has no loss: almost
    always a template without the spans that the objectives weigh.

    Raises:
        InputError: Names the first such example.
    """
    weight_E = np.zeros(len(layout.example_ids))
    for selection in selections.values():
        example_R = layout.examples[selection["rows"]]
        np.add.at(weight_E, example_R, np.abs(selection["weights"]))
    if not weight_E.all():
        example = int(layout.example_ids[int(np.flatnonzero(weight_E == 0)[0])])
        raise InputError(
            f"train.objectives: example {example} of the prepared data has no trained token; "
            "give its spans weight, or prepare with a template that has trained ones (a question "
            "without an answer needs a domain, and an objective such as domain_adversarial)"
        )


@dataclass(frozen=True)
class Survey:
    """What a pass over the prepared rows found, in tokens.

    Attributes:
        longest_completion: Of any example that was looked at, all that follows its prompt.
        longest_answer: Of any such example, its answer and the token after it.
    """

    longest_completion: int
    longest_answer: int


def survey(
    dataset: Dataset,
    terms: Sequence[Term],
    *,
    templates: Collection[int] | None = None,
    rows_at_once: int = 256,
) -> Survey:
    """Look at all prepared rows, before any step is spent on them.

    Args:
        dataset: Prepared rows, as `load_prepared` gives them.
        terms: The objectives' host side.
        templates: Numbers of the templates whose examples are measured; None for all.
        rows_at_once: Rows looked at together.

    Raises:
        InputError: An example would train nothing, names the first; or an objective needs rows of
            another kind.
    """
    for term in terms:
        for column, remedy in term.columns.items():
            if column not in dataset.column_names:
                raise InputError(
                    f"train.objectives: {term.key}: the prepared data have no {column}; {remedy}"
                )
    completion = answer = 0
    for rows in _chunks(dataset, rows_at_once):
        layout = Layout.of(rows)
        refuse_untrained(layout, {term.key: term.select(layout) for term in terms})
        inside = layout.examples != PADDING
        if templates is not None:
            inside &= np.isin(layout.templates[layout.examples], list(templates))

        def longest(kinds: Sequence[str], layout: Layout = layout, inside: Any = inside) -> int:
            codes = [KINDS.index(kind) for kind in kinds]
            chosen = layout.examples[inside & np.isin(layout.span_kinds, codes)]
            return int(np.bincount(chosen, minlength=1).max())

        completion = max(completion, longest(("gate", "answer", "rationale", "semantic", "end")))
        answer = max(answer, longest(("answer",)) + 1)
    return Survey(completion, answer)


def load_prepared(prepared: str | Path) -> Dataset:
    """Open the rows of a prepared directory, memory-mapped, as numpy arrays.

    Args:
        prepared: What `limbeck prepare` wrote.

    Raises:
        InputError: The directory does not hold prepared data.
    """
    from datasets import Dataset, load_from_disk

    try:
        dataset = load_from_disk(str(prepared))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{prepared}: not prepared data ({error}); write it with `limbeck prepare`"
        ) from error
    columns = {"input_ids", "span_kinds", "example_lengths", "example_ids"}
    if not isinstance(dataset, Dataset) or not columns <= set(dataset.column_names):
        raise InputError(f"{prepared}: not prepared data; write it with `limbeck prepare`")
    return dataset.with_format("numpy")


def is_packed(dataset: Any) -> bool:
    """Whether some row holds several examples; a data set of another kind is taken to."""
    from datasets import Dataset

    if not isinstance(dataset, Dataset):
        return True
    import pyarrow.compute as pc

    lengths = pc.list_value_length(dataset.data.column("example_ids"))
    return bool(pc.max(lengths).as_py() > 1)


def _chunks(dataset: Dataset, size: int) -> Iterator[list[dict[str, Any]]]:
    for columns in dataset.iter(batch_size=size):
        names = list(columns)
        yield [
            dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)
        ]
