"""The distinct rationales of a prepared directory, as an encoder reads them.

Pooled targets are of the rationale's text, alone. Token targets are of the student's own tokens,
those of the rationale after those of the prompt: what the student knows that reads them last, less
the answer, which the teacher is to reach by itself. Both are read through the memory-mapped Arrow
files, so that what is in memory is a few numbers a rationale.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.encoder import Passage
from limbeck.errors import InputError
from limbeck.spans import KINDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from limbeck.encoder import Encoder

KEY_BYTES = 16

_CHUNK = 1024
_RATIONALE = KINDS.index("rationale")
_READ = [KINDS.index(kind) for kind in ("prompt", "question", "rationale")]


class Rationales(ABC):
    """The n distinct rationales of E examples.

    Attributes:
        example_ids: int64 `[E]`, ascending.
        index: int64 `[E]`, which rationale is each example's.
        keys: uint8 `[n, KEY_BYTES]`, hashes of what the encoder is given.
        lengths: int64 `[n]`, tokens that the encoder reads.
        states: int64 `[n]`, how many states are kept.
        truncated: How many are longer than the encoder reads.
    """

    example_ids: NDArray[np.int64]
    index: NDArray[np.int64]
    keys: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    states: NDArray[np.int64]
    truncated: int

    @abstractmethod
    def passages(self, rows: NDArray[np.int64]) -> list[Passage]:
        """What the encoder reads of some of them."""

    def _set_examples(self, ids: Sequence[int], found: _Distinct, path: Path) -> None:
        import numpy as np

        if not ids:
            raise InputError(f"{path}: holds no example; look into rejected.jsonl")
        order = np.argsort(ids, kind="stable")
        self.example_ids = np.asarray(ids, np.int64)[order]
        self.index = np.asarray(found.index, np.int64)[order]
        self.keys = np.frombuffer(b"".join(found.rows), np.uint8).reshape(-1, KEY_BYTES)


class _Distinct:
    """Numbers contents in the order of their first appearance."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.index: list[int] = []

    def add(self, content: bytes) -> bool:
        """Number one example's content; whether it is new."""
        key = hashlib.blake2b(content, digest_size=KEY_BYTES).digest()
        known = len(self.rows)
        self.index.append(self.rows.setdefault(key, known))
        return len(self.rows) > known


class TextRationales(Rationales):
    """Rationales as texts, each to be pooled into one state.

    Args:
        prepared: A prepared directory that keeps its rationales.
        encoder: Reads them.

    Raises:
        InputError: An example has no rationale.
    """

    def __init__(self, prepared: Path, encoder: Encoder) -> None:
        import numpy as np
        import pyarrow as pa

        from limbeck.arrow import file_batches

        path = prepared / "examples.arrow"
        self._encoder = encoder
        batches = list(file_batches(path))
        found, first, ids = _Distinct(), [], []
        for batch in batches:
            ids += batch.column("example_id").to_pylist()
            for text in batch.column("rationale"):
                if not text.is_valid:
                    raise InputError(
                        f"{path}: example {ids[len(found.index)]} has no rationale; prepare again "
                        "with a recipe that aligns to rationales, such as pst, so that they are "
                        "kept, and without unlabelled questions, which have none"
                    )
                if found.add(text.as_buffer().to_pybytes()):
                    first.append(len(found.index) - 1)
        self._set_examples(ids, found, path)
        self._texts = pa.chunked_array([batch.column("rationale") for batch in batches])
        self._first = first
        read = [
            (len(passage.ids), passage.cut)
            for start in range(0, len(first), _CHUNK)
            for passage in self.passages(np.arange(start, min(start + _CHUNK, len(first))))
        ]
        self.lengths = np.array([length for length, _ in read], np.int64)
        self.states = np.ones(len(first), np.int64)
        self.truncated = sum(cut for _, cut in read)

    def passages(self, rows: NDArray[np.int64]) -> list[Passage]:
        """Tokenize some of them."""
        return list(self._encoder.read([self._texts[self._first[i]].as_py() for i in rows]))


class TokenRationales(Rationales):
    """Rationales as the tokens of the student's own sequences, each token's state kept.

    Args:
        prepared: A prepared directory whose template writes the rationale.
        encoder: Reads them; must have the student's tokenizer.

    Raises:
        InputError: The tokenizers differ, an example is longer than the encoder reads, or none has
            a rationale token.
    """

    truncated = 0

    def __init__(self, prepared: Path, encoder: Encoder) -> None:
        import numpy as np

        from limbeck.arrow import row_batches

        check_tokenizer(prepared, encoder)
        found, ids = _Distinct(), []
        self._spans: list[tuple[NDArray[np.int32], NDArray[np.uint8]]] = []
        lengths, states = [], []
        for batch in row_batches(prepared):
            if "example_roles" in batch.schema.names:
                raise InputError(
                    f"targets.pooling: {prepared} has pairs, whose tokens have two sides; choose "
                    "another pooling, or prepare without `prepare.pairs`"
                )
            ids += batch.column("example_ids").flatten().to_pylist()
            token_ids, kinds, counts = (
                batch.column(name).flatten().to_numpy()
                for name in ("input_ids", "span_kinds", "example_lengths")
            )
            stops = np.cumsum(counts)
            for start, stop in zip(stops - counts, stops, strict=True):
                span = token_ids[start:stop], kinds[start:stop]
                read, counted = _read(*span)
                if not found.add(read.tobytes() + counted.tobytes()):
                    continue
                if len(read) > encoder.limit:
                    raise InputError(
                        f"targets.max_length: example {ids[len(found.index) - 1]} has {len(read)} "
                        f"tokens of prompt and rationale, and {encoder.name} is to read at most "
                        f"{encoder.limit}; raise it as far as the encoder allows, or lower "
                        "prepare.max_length"
                    )
                self._spans.append(span)
                lengths.append(len(read))
                states.append(int(counted.sum()))
        self._set_examples(ids, found, prepared)
        self.lengths, self.states = np.array(lengths, np.int64), np.array(states, np.int64)
        if not self.states.any():
            raise InputError(
                f"targets.pooling: no example of {prepared} has a rationale token to align; "
                "prepare with a template that writes the rationale, such as answer-first"
            )

    def passages(self, rows: NDArray[np.int64]) -> list[Passage]:
        """Cut some of them out of their rows."""
        spans = (_read(*self._spans[i]) for i in rows)
        return [Passage(read.tolist(), counted.tolist()) for read, counted in spans]


def _read(
    ids: NDArray[np.int32], kinds: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the tokens that the encoder reads, and which of them are the rationale's."""
    import numpy as np

    read = np.isin(kinds, _READ) & np.any(kinds == _RATIONALE)  # nothing where there is none
    return ids[read], kinds[read] == _RATIONALE


def check_tokenizer(prepared: Path, encoder: Encoder) -> None:
    """Refuse an encoder for which the prepared token ids mean other tokens.

    Args:
        prepared: A prepared directory.
        encoder: Whose tokenizer is asked.

    Raises:
        InputError: Names the first token id that differs.
    """
    from transformers import AutoTokenizer

    from limbeck.model import quiet

    manifest: Any = json.loads((prepared / "manifest.json").read_text("utf-8"))
    added = set(manifest["render"]["added_tokens"])
    with quiet():
        own = AutoTokenizer.from_pretrained(prepared / "tokenizer").get_vocab()
    theirs = encoder.tokenizer.get_vocab()
    differing = (token for token in own.keys() - added if theirs.get(token) != own[token])
    token = min(differing, key=own.__getitem__, default=None)
    if token is not None:
        known = f"is {theirs[token]} there" if token in theirs else "is unknown there"
        raise InputError(
            f"targets.encoder: {encoder.name}: has another tokenizer than the student: {token!r}, "
            f"token {own[token]} of the student, {known}; pooling: token needs the same tokenizer, "
            "so take an encoder of the student's family, or another pooling"
        )
