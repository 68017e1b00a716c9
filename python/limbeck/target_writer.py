"""Writes a target file from its start to its end, and goes on where a run was cut off.

The layout is that of any safetensors file, written by hand so that the states need never be in
memory as a whole. Everything but the states is known before the first of them and stands before
them; they are appended in a fixed order. So the length of an unfinished file says what is done, and
its beginning whether it is of the same work.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import InputError
from limbeck.target_store import FILE_NAME

DTYPES = {
    "float32": ("F32", torch.float32),
    "float16": ("F16", torch.float16),
    "bfloat16": ("BF16", torch.bfloat16),
}

_PARTIAL = f".{FILE_NAME}.partial"
_LOCK = f".{FILE_NAME}.lock"


@dataclass(frozen=True)
class TargetLayout:
    """All of a target file but its states.

    Attributes:
        starts: int64 `[n+1]`, where the states of each rationale begin.
        keys: uint8 `[n, 16]`, what the encoder was given for each.
        index: int64 `[E]`, the rationale of each example.
        example_ids: int64 `[E]`, ascending.
        width: The width D of a state.
        dtype: `float32`, `float16` or `bfloat16`.
        identity: What decides the states; JSON values.
        prepared: Hash of the rows whose examples they are.
    """

    starts: NDArray[np.int64]
    keys: NDArray[np.uint8]
    index: NDArray[np.int64]
    example_ids: NDArray[np.int64]
    width: int
    dtype: str
    identity: Mapping[str, Any]
    prepared: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one state."""
        return self.width * DTYPES[self.dtype][1].itemsize

    @property
    def states_bytes(self) -> int:
        """Bytes of all states."""
        return int(self.starts[-1]) * self.row_bytes

    def head(self) -> bytes:
        """All that stands in the file before the states."""
        parts = {
            "example_ids": ("I64", self.example_ids.astype("<i8")),
            "index": ("I64", self.index.astype("<i8")),
            "keys": ("U8", self.keys),
            "starts": ("I64", self.starts.astype("<i8")),
        }
        identity = json.dumps(self.identity, sort_keys=True)
        entries: dict[str, Any] = {
            "__metadata__": {"identity": identity, "prepared": self.prepared}
        }
        end = 0
        for name, (kind, values) in parts.items():
            span = [end, end := end + values.nbytes]
            entries[name] = {"dtype": kind, "shape": values.shape, "data_offsets": span}
        entries["targets"] = {
            "dtype": DTYPES[self.dtype][0],
            "shape": [int(self.starts[-1]), self.width],
            "data_offsets": [end, end + self.states_bytes],
        }
        header = json.dumps(entries).encode()
        header += b" " * (-len(header) % 8)
        data = b"".join(values.tobytes() for _, values in parts.values())
        return len(header).to_bytes(8, "little") + header + data


class TargetWriter:
    """Appends states to a target file; `writing` opens it.

    Attributes:
        done: Rationales whose states are written.
    """

    def __init__(self, file: BinaryIO, layout: TargetLayout, data_start: int, done: int) -> None:
        self._file = file
        self._layout = layout
        self._data_start = data_start
        self.done = done

    def append(self, states: Tensor, rationales: int) -> None:
        """Write the states of the next `rationales`, one after the other.

        Args:
            states: `[Σ states of these rationales, D]`, any dtype and device.
            rationales: How many.
        """
        expected = self._layout.starts[self.done + rationales] - self._layout.starts[self.done]
        assert states.shape == (expected, self._layout.width)
        low = states.to("cpu", DTYPES[self._layout.dtype][1]).contiguous()
        self._file.seek(0, os.SEEK_END)
        self._file.write(low.view(torch.uint8).numpy().data)
        self._file.flush()
        self.done += rationales

    def read(self, start: int, stop: int) -> Tensor:
        """Read the states of the rationales from `start` to before `stop`, all of them written."""
        first, last = (int(self._layout.starts[i]) for i in (start, stop))
        self._file.seek(self._data_start + first * self._layout.row_bytes)
        data = bytearray(self._file.read((last - first) * self._layout.row_bytes))
        states = torch.frombuffer(data, dtype=DTYPES[self._layout.dtype][1])
        return states.view(last - first, self._layout.width)


@contextmanager
def writing(directory: Path, layout: TargetLayout) -> Iterator[TargetWriter]:
    """Open the target file of a directory to append what is missing; publish it when it is whole.

    A file of the same layout, finished or cut off, is gone on with; what a cut-off run of another
    layout left is dropped. The old file stands until the new one is whole.

    Args:
        directory: Where `targets.safetensors` will stand; made if missing.
        layout: What the file will hold.

    Raises:
        InputError: Another run writes there, or the disk has no room for the states.
    """
    directory.mkdir(parents=True, exist_ok=True)
    head, final, partial = layout.head(), directory / FILE_NAME, directory / _PARTIAL
    n_rationales = len(layout.starts) - 1
    with _alone(directory):
        if _begins_with(final, head) and final.stat().st_size == len(head) + layout.states_bytes:
            with final.open("rb") as file:
                yield TargetWriter(file, layout, len(head), n_rationales)
            return
        _refuse_full_disk(directory, layout, partial)
        if not _begins_with(partial, head):
            partial.write_bytes(head)
        whole_rows = (partial.stat().st_size - len(head)) // layout.row_bytes
        done = int(np.searchsorted(layout.starts, whole_rows, side="right")) - 1
        with partial.open("r+b") as file:
            file.truncate(len(head) + int(layout.starts[done]) * layout.row_bytes)
            writer = TargetWriter(file, layout, len(head), done)
            yield writer
            assert writer.done == n_rationales
            os.fsync(file.fileno())
        partial.replace(final)


def _begins_with(path: Path, head: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(head)) == head


def _refuse_full_disk(directory: Path, layout: TargetLayout, partial: Path) -> None:
    free = shutil.disk_usage(directory).free
    free += partial.stat().st_size if partial.is_file() else 0
    if layout.states_bytes > free:
        raise InputError(
            f"{directory}: the states take {layout.states_bytes / 1e9:.1f} GB and the disk has "
            f"{free / 1e9:.1f} GB left; free some, write elsewhere, or set targets.dtype: bfloat16"
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep a second run from appending to the same file.

    The lock's file stays: were it removed, a run that waits at its door could hold a lock that the
    next one does not see.
    """
    with (directory / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{directory}: another run writes targets there; wait for it, or name another "
                "directory"
            ) from error
        yield
