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


def row_batches(prepared: Path) -> Iterator[pa.RecordBatch]:
    """The packed rows of a prepared directory, in the order of its files.

    Args:
        prepared: A directory that `limbeck prepare` wrote.

    Raises:
        InputError: A file is missing or is not an Arrow stream.
    """
    for file in _state(prepared, "_data_files"):
        yield from file_batches(prepared / file["filename"])


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
