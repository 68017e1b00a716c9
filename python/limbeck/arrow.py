"""The Arrow files of a prepared directory, batch by batch, memory-mapped.

Only the columns that are touched are read from disk, so a look at the lengths of a billion tokens
costs the lengths alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def row_batches(prepared: Path, *, is_folded: bool = False) -> Iterator[pa.RecordBatch]:
    """The packed rows of a prepared directory, in the order of its files.

    Args:
        prepared: A directory that `limbeck prepare` wrote.
        is_folded: Leave rows that share prompts as they are stored, instead of giving every
            example its prompt.

    Raises:
        InputError: A file is missing or is not an Arrow stream.
    """
    for file in _state(prepared, "_data_files"):
        for batch in file_batches(prepared / file["filename"]):
            is_trie = "example_parents" in batch.schema.names
            yield _unfolded(batch) if is_trie and not is_folded else batch


def _unfolded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with its prompt before every example."""
    import numpy as np
    import pyarrow as pa

    from limbeck.trie import PARENTS, Prefixes

    flat = {name: batch.column(name).flatten().to_numpy() for name in ("span_kinds", PARENTS)}
    counts = batch.column(PARENTS).value_lengths().to_numpy()
    example_ends = np.cumsum(counts)
    # Of parents in a row to those in the batch.
    own = flat[PARENTS] + np.repeat(example_ends - counts, counts)
    parents = np.where(flat[PARENTS] < 0, -1, own)
    lengths = batch.column("example_lengths").flatten().to_numpy()
    prefixes = Prefixes.of(
        {"example_lengths": lengths, "span_kinds": flat["span_kinds"], PARENTS: parents}
    )
    sources = pa.array(prefixes.sources)
    unfolded = (prefixes.lengths + prefixes.before).astype(np.int32)
    token_ends = np.append(0, np.cumsum(unfolded))[np.append(0, example_ends)].astype(np.int32)
    example_starts = pa.array(np.append(0, example_ends).astype(np.int32))
    columns = {name: batch.column(name) for name in batch.schema.names if name != PARENTS}
    for name in ("input_ids", "span_kinds"):
        values = columns[name].flatten().take(sources)
        columns[name] = pa.ListArray.from_arrays(pa.array(token_ends), values)
    columns["example_lengths"] = pa.ListArray.from_arrays(example_starts, pa.array(unfolded))
    return pa.RecordBatch.from_pydict(columns)


def fingerprint(prepared: Path) -> str:
    """The hash of the packed rows of a prepared directory.

    Args:
        prepared: A directory that `limbeck prepare` wrote.

    Raises:
        InputError: It is none.
    """
    return str(_state(prepared, "_fingerprint"))


def _state(prepared: Path, key: str) -> Any:
    state = prepared / "state.json"
    try:
        return json.loads(state.read_text("utf-8"))[key]
    except FileNotFoundError:
        raise InputError(
            f"{prepared}: no prepared data (no state.json); "
            "give a directory that `limbeck prepare` wrote"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{state}: not the state of a data set; prepare the data again") from None


def file_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The record batches of one Arrow stream.

    Args:
        path: A file in the IPC stream format.

    Raises:
        InputError: The file is missing or is not an Arrow stream.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            yield from reader
    except (OSError, pa.ArrowInvalid) as error:
        problem = "missing" if isinstance(error, FileNotFoundError) else "not an Arrow stream"
        raise InputError(f"{path}: {problem}; prepare the data again") from None
