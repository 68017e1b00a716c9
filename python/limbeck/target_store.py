"""Cached target states on disk: one file, written row by row, read memory-mapped.

`targets.safetensors` holds `targets` [n, D] (one row a distinct rationale), `index` int64 [E] (the
row of each example) and `example_ids` int64 [E] (ascending). The layout is that of any safetensors
file; it is written by hand only so that `targets` need never be in memory as a whole.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import InputError

FILE_NAME = "targets.safetensors"

# safetensors' name, torch's dtype, and a numpy dtype of the same size (numpy has no bfloat16).
_DTYPES: dict[str, tuple[str, torch.dtype, np.dtype[Any]]] = {
    "float32": ("F32", torch.float32, np.dtype(np.float32)),
    "float16": ("F16", torch.float16, np.dtype(np.float16)),
    "bfloat16": ("BF16", torch.bfloat16, np.dtype(np.uint16)),
}


class TargetStore:
    """Rows of target states by example id.

    It is a path until it is read, so it travels to a loader's workers for nothing, and every
    worker maps the same pages.

    Args:
        directory: What `targets` wrote.

    Raises:
        InputError: There is no complete target file.
    """

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / FILE_NAME
        if not self.path.is_file():
            raise InputError(f"{directory}: no {FILE_NAME}; run `targets` on the prepared data")
        self._opened: tuple[Tensor, NDArray[np.int64], NDArray[np.int64]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None}

    @property
    def width(self) -> int:
        """The width D of a target."""
        return int(self._tensors()[0].shape[1])

    def __len__(self) -> int:
        """The number of distinct rationales."""
        return len(self._tensors()[0])

    def read(self, example_ids: NDArray[np.int64]) -> Tensor:
        """Read the targets `[len(example_ids), D]` of some examples, in the stored dtype.

        Raises:
            InputError: An example has none.
        """
        targets, index, known = self._tensors()
        at = np.searchsorted(known, example_ids)
        found = known[np.minimum(at, len(known) - 1)] == example_ids if len(known) else at < 0
        if not found.all():
            raise InputError(
                f"{self.path}: no target for example {int(example_ids[~found][0])}; "
                "run `targets` again on this preparation"
            )
        return targets[torch.from_numpy(index[at])]

    def _tensors(self) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
        if self._opened is None:
            from safetensors import safe_open

            with safe_open(self.path, framework="pt") as file:
                targets, index, known = (
                    file.get_tensor(key) for key in ("targets", "index", "example_ids")
                )
            self._opened = targets, index.numpy(), known.numpy()
        return self._opened


class TargetWriter:
    """Writes a target file in place, under another name until it is complete.

    Args:
        directory: Where `targets.safetensors` will stand.
        rows: Number of distinct rationales.
        width: Width of a target.
        dtype: `float32`, `float16` or `bfloat16`.
        index: int64 `[E]`, the row of each example.
        example_ids: int64 `[E]`, ascending.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rows: int,
        width: int,
        dtype: str,
        index: NDArray[np.int64],
        example_ids: NDArray[np.int64],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._final = directory / FILE_NAME
        self._path = directory / f".{FILE_NAME}.{os.getpid()}.tmp"
        name, self._torch_dtype, numpy_dtype = _DTYPES[dtype]
        ends = np.cumsum([8 * len(index), 8 * len(index), rows * width * numpy_dtype.itemsize])
        entries = [
            ("index", "I64", [len(index)], 0, ends[0]),
            ("example_ids", "I64", [len(index)], ends[0], ends[1]),
            ("targets", name, [rows, width], ends[1], ends[2]),
        ]
        header = json.dumps(
            {
                key: {"dtype": kind, "shape": shape, "data_offsets": [int(start), int(end)]}
                for key, kind, shape, start, end in entries
            }
        ).encode()
        header += b" " * (-len(header) % 8)
        with self._path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.write(index.astype("<i8").tobytes() + example_ids.astype("<i8").tobytes())
            data_start = file.tell()
            file.truncate(data_start + rows * width * numpy_dtype.itemsize)
        self._rows = np.memmap(
            self._path, numpy_dtype, mode="r+", offset=data_start, shape=(rows, width)
        )

    def write(self, rows: NDArray[np.int64], states: Tensor) -> None:
        """Write `states` `[len(rows), D]` into `rows`."""
        low = states.to("cpu", self._torch_dtype)
        if low.dtype == torch.bfloat16:
            low = low.view(torch.int16)
        self._rows[rows] = low.numpy().view(self._rows.dtype)

    def __enter__(self) -> TargetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rows.flush()
        if kind is None:
            self._path.replace(self._final)
        else:
            self._path.unlink(missing_ok=True)
