"""Reading one packed row back from a prepared directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.arrow import file_batches, row_batches
from limbeck.errors import InputError
from limbeck.inspect.token_bytes import TokenBytes
from limbeck.inspect.weights import weights_of
from limbeck.spans import KINDS, ROLES
from limbeck.trie import PARENTS, Prefixes, Row, unfold


@dataclass(frozen=True)
class Token:
    """One token of a row.

    Attributes:
        id: Its number in the vocabulary.
        raw: The bytes of text it stands for; a part of a character where the vocabulary cuts one.
        kind: Its span kind.
        weight: How hard cross-entropy pulls on predicting it; 0 where it is not trained.
        position: Its place in the example, from 0, which is the model's position id.
    """

    id: int
    raw: bytes
    kind: str
    weight: float
    position: int

    @property
    def text(self) -> str:
        r"""The text; bytes of a cut character as `\xe2`."""
        return self.raw.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Example:
    """One example of a row and where it came from.

    Attributes:
        id: Its ordinal among all candidates.
        record: The record's id.
        source: The file; `line` is the line in it, from 1.
        domain: Its domain's name, None where it has none.
        role: `single`, or of a pair `chosen` or `rejected`.
        prompt_of: The id of the example whose prompt comes before its tokens; None where they begin
            with a prompt.
        tokens: All of its tokens in the row.
    """

    id: int
    record: str | None
    source: str
    line: int
    domain: str | None
    role: str
    prompt_of: int | None
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Inspection:
    """A row, or one example of it.

    Attributes:
        row: The row's index; `rows` is how many there are.
        length: How many tokens the row holds; `max_length` is how many it may.
        separate_length: How many its examples have as separate sequences: more where they share
            prompts.
        span_weights: Weight by span kind, for the template of the first example that is shown;
            kinds that are absent have none.
        weights_from: Where the weights were found.
        examples: The examples shown, in the row's order.
    """

    row: int
    rows: int
    length: int
    separate_length: int
    max_length: int
    span_weights: Mapping[str, float]
    weights_from: str
    examples: tuple[Example, ...]


def inspect(
    prepared: str | Path,
    *,
    index: int = 0,
    example: int | None = None,
    span_weights: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
) -> Inspection:
    """Read a row of a prepared directory.

    Args:
        prepared: The directory that `limbeck prepare` wrote.
        index: The row; negative counts from the end.
        example: An example id: that example alone, wherever it is packed, with its prompt.
        span_weights: Weight by span kind, for all templates or for each. By default those of the
            cross-entropy in the recipe of the run that the directory belongs to, else
            cross-entropy's defaults.

    Raises:
        InputError: There is no such directory, row, example or span kind.

    Example:
        >>> shown = inspect("out/prepared", index=0)  # doctest: +SKIP
        >>> shown.examples[0].tokens[-1].kind  # doctest: +SKIP
        'end'
    """
    directory = Path(prepared)
    manifest = _manifest(directory)
    weights, origin = weights_of(directory, span_weights)
    rows = manifest["rows"]
    if example is not None:
        index = _row_of(directory, example)
    elif not -rows <= index < rows:
        raise InputError(f"{directory}: row {index}: there are {rows}; give 0 to {rows - 1}")
    index %= rows
    stored = _row(directory, index)
    whole = unfold(stored)
    columns = stored if example is None else whole
    vocabulary = TokenBytes.load(directory / "tokenizer" / "tokenizer.json")
    numbers = columns.get("example_templates") or [0] * len(columns["example_ids"])
    # Of each example; weights that are one for all are the first.
    own = [weights[number] if number < len(weights) else weights[0] for number in numbers]
    examples = _examples(directory, columns, own, vocabulary, manifest["domains"])
    first = 0 if example is None else stored["example_ids"].index(example)
    return Inspection(
        row=index,
        rows=rows,
        length=len(stored["input_ids"]),
        separate_length=len(whole["input_ids"]),
        max_length=manifest["max_length"],
        span_weights=own[first],
        weights_from=origin,
        examples=tuple(each for each in examples if example in (None, each.id)),
    )


def _manifest(directory: Path) -> dict[str, Any]:
    path = directory / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{directory}: no prepared data (no manifest.json); "
            "give a directory that `limbeck prepare` wrote"
        ) from None
    except ValueError:
        raise InputError(f"{path}: not JSON; prepare the data again") from None
    lacking = sorted({"rows", "max_length", "domains"} - set(manifest))
    if lacking:
        raise InputError(f"{path}: {lacking[0]}: missing; prepare the data again")
    if not manifest["rows"]:
        raise InputError(f"{directory}: no rows; rejected.jsonl says why nothing was kept")
    return manifest


def _row_of(directory: Path, example: int) -> int:
    import numpy as np

    row_start = 0
    for batch in row_batches(directory, is_folded=True):
        ids = batch.column("example_ids")
        found = np.flatnonzero(ids.flatten().to_numpy() == example)
        if len(found):
            example_ends = np.cumsum(ids.value_lengths().to_numpy())
            return row_start + int(np.searchsorted(example_ends, found[0], side="right"))
        row_start += batch.num_rows
    raise InputError(
        f"{directory}: example {example}: not among the kept ones; "
        "examples.arrow has their ids, rejected.jsonl the others and why"
    )


def _row(directory: Path, index: int) -> dict[str, list[int]]:
    for batch in row_batches(directory, is_folded=True):
        if index < batch.num_rows:
            return {name: batch.column(name)[index].as_py() for name in batch.schema.names}
        index -= batch.num_rows
    raise InputError(f"{directory}: fewer rows than manifest.json says; prepare the data again")


def _examples(
    directory: Path,
    columns: Row,
    weights: Sequence[Mapping[str, float]],
    vocabulary: TokenBytes,
    domains: list[str],
) -> Iterator[Example]:
    numbers = columns["example_ids"]
    origins = _origins(directory / "examples.arrow", numbers)
    parents = columns.get(PARENTS, [-1] * len(numbers))
    befores = Prefixes.of(columns).before if PARENTS in columns else [0] * len(numbers)
    token_start = 0
    for number, length, domain, role, parent, before, own in zip(
        numbers,
        columns["example_lengths"],
        columns["domains"],
        columns.get("example_roles") or [0] * len(numbers),
        parents,
        befores,
        weights,
        strict=True,
    ):
        is_trained = ROLES[role] != "rejected"
        token_end = token_start + length
        ids = columns["input_ids"][token_start:token_end]
        kinds = [KINDS[code] for code in columns["span_kinds"][token_start:token_end]]
        yield Example(
            id=number,
            record=origins[number]["record_id"],
            source=origins[number]["source"],
            line=origins[number]["line"],
            domain=domains[domain] if domain >= 0 else None,
            role=ROLES[role],
            prompt_of=numbers[parent] if parent >= 0 else None,
            tokens=tuple(
                Token(
                    id=int(token),
                    raw=vocabulary[int(token)],
                    kind=kind,
                    # Nothing stands before the first token that it could be predicted from.
                    weight=float(own.get(kind, 0.0)) if position and is_trained else 0.0,
                    position=position,
                )
                for position, (token, kind) in enumerate(
                    zip(ids, kinds, strict=True), start=int(before)
                )
            ),
        )
        token_start = token_end


def _origins(path: Path, numbers: list[int]) -> dict[int, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(numbers, pa.int64())
    found: dict[int, dict[str, Any]] = {}
    for batch in file_batches(path):
        chosen = batch.filter(pc.is_in(batch.column("example_id"), value_set=wanted))
        columns = chosen.select(["example_id", "record_id", "source", "line"])
        found |= {each["example_id"]: each for each in columns.to_pylist()}
    if len(found) < len(set(numbers)):
        raise InputError(f"{path}: lacks an example of the row; prepare the data again")
    return found
