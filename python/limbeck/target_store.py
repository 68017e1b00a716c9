"""Cached target states on disk, read memory-mapped.

`targets.safetensors` holds `targets` [rows, D], the states of n distinct rationales, one after the
other, `starts` int64 [n+1] (where the states of each begin), `keys` uint8 [n, 16] (a hash of what
the encoder was given for each), `index` int64 [E] (the rationale of each example) and `example_ids`
int64 [E] (ascending). Its metadata say what made it, and of which rows. A pooled rationale has one
state, otherwise it has one a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.arrow import fingerprint
from limbeck.errors import InputError

FILE_NAME = "targets.safetensors"


@dataclass(frozen=True)
class _Contents:
    targets: Tensor
    starts: NDArray[np.int64]
    keys: NDArray[np.uint8]
    index: NDArray[np.int64]
    example_ids: NDArray[np.int64]
    identity: dict[str, Any]
    prepared: str


class TargetStore:
    """States of gold rationales by example id.

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

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    @property
    def width(self) -> int:
        """The width D of a state."""
        return int(self._contents.targets.shape[1])

    @property
    def identity(self) -> dict[str, Any]:
        """What decided the states: encoder, layer, pooling, length."""
        return self._contents.identity

    @property
    def by_token(self) -> bool:
        """Whether each token of a rationale has a state, not the rationale one."""
        return bool(self.identity["pooling"] == "token")

    def check(self, prepared: Path) -> None:
        """Refuse targets that were made of other rows, whose example ids mean other examples.

        Args:
            prepared: The prepared directory that is to be trained on.

        Raises:
            InputError: They were.
        """
        if self._contents.prepared != fingerprint(prepared):
            raise InputError(
                f"{self.path}: made of another preparation than {prepared}; run `targets` on this "
                "one, which computes only what is new"
            )

    def __len__(self) -> int:
        """The number of distinct rationales."""
        return len(self._contents.keys)

    def counts(self, example_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many states some examples have; int64 `[len(example_ids)]`.

        Raises:
            InputError: An example is not known.
        """
        rows = self._rows(example_ids)
        return self._contents.starts[rows + 1] - self._contents.starts[rows]

    def read(self, example_ids: NDArray[np.int64]) -> Tensor:
        """Read the states `[Σ counts, D]` of some examples, in the stored dtype.

        Raises:
            InputError: An example is not known.
        """
        starts, counts = self._contents.starts[self._rows(example_ids)], self.counts(example_ids)
        before = np.cumsum(counts) - counts
        at = np.arange(counts.sum()) + np.repeat(starts - before, counts)
        return self._contents.targets[torch.from_numpy(at)]

    @property
    def keys(self) -> NDArray[np.uint8]:
        """Hashes `[n, 16]` of what the encoder was given for each rationale."""
        return self._contents.keys

    def states(self, row: int) -> Tensor:
        """Read the states of one rationale by its number."""
        start, stop = self._contents.starts[row : row + 2]
        return self._contents.targets[start:stop]

    def _rows(self, example_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        known = self._contents.example_ids
        at = np.searchsorted(known, example_ids)
        found = known[np.minimum(at, len(known) - 1)] == example_ids if len(known) else at < 0
        if not found.all():
            raise InputError(
                f"{self.path}: no target for example {int(example_ids[~found][0])}; "
                "run `targets` again on this preparation"
            )
        return self._contents.index[at]

    @cached_property
    def _contents(self) -> _Contents:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                return _Contents(
                    targets=file.get_tensor("targets"),
                    starts=file.get_tensor("starts").numpy(),
                    keys=file.get_tensor("keys").numpy(),
                    index=file.get_tensor("index").numpy(),
                    example_ids=file.get_tensor("example_ids").numpy(),
                    identity=json.loads(file.metadata()["identity"]),
                    prepared=file.metadata()["prepared"],
                )
        except (SafetensorError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path}: not a target file ({error}); run `targets` again"
            ) from error


class KnownStates:
    """Those of some rationales whose states stand in earlier files.

    Args:
        stores: The earlier files, all of the wanted identity.
        keys: uint8 `[n, 16]`, the wanted rationales.

    Attributes:
        count: How many are known.
    """

    def __init__(self, stores: Sequence[TargetStore], keys: NDArray[np.uint8]) -> None:
        self._stores = stores
        places: dict[bytes, tuple[int, int]] = {}
        for number, store in enumerate(stores):
            for row, key in enumerate(store.keys):
                places.setdefault(key.tobytes(), (number, row))
        unknown = len(stores), -1
        found = [places.get(key.tobytes(), unknown) for key in keys]
        self._store, self._row = np.array(found, np.int64).reshape(-1, 2).T
        self.count = int((self._row >= 0).sum())

    def order(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Order the rationales: known ones first, as they stand; the others by rank."""
        return np.lexsort((np.where(self._row < 0, ranks, self._row), self._store))

    def states(self, rationale: int) -> Tensor:
        """Read the states of a known rationale."""
        return self._stores[self._store[rationale]].states(self._row[rationale])


def find_states(
    directories: Sequence[Path], identity: Mapping[str, Any], keys: NDArray[np.uint8]
) -> KnownStates:
    """Look for states in earlier files.

    Args:
        directories: Where such files may stand.
        identity: What decides the states; files of another do not count, nor do damaged ones.
        keys: uint8 `[n, 16]`, the wanted rationales.
    """
    stores = []
    for directory in directories:
        try:
            store = TargetStore(directory)
            if store.identity == identity:
                stores.append(store)
        except InputError:  # nothing there to save work with, so the work is done
            continue
    return KnownStates(stores, keys)
