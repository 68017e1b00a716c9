"""Targets: the states of gold rationales under a frozen encoder, computed once and kept on disk.

limbeck run (the `targets` stage), or `targets(prepared, student=…, output_dir=…, settings=…)`.
They depend on the data alone and no gradient reaches them, so training only reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from limbeck.config import Targets

Progress = Callable[[int, int, str], None]

_INTEGER_BYTES = 8
_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def targets(
    prepared: str | Path,
    *,
    student: str | Path,
    output_dir: str | Path,
    settings: Targets,
    progress: Progress | None = None,
) -> Path:
    """Write the pooled states of every distinct rationale of a prepared directory.

    Args:
        prepared: Prepared data that keeps its rationales.
        student: The starting student, the encoder where `settings.encoder` is `student`.
        output_dir: Where `targets.safetensors` and `targets.json` go.
        settings: Encoder, layer, pooling, batch size, length and dtype.
        progress: Told rationales done, rationales in all, and the size on disk.

    Returns:
        `output_dir`.

    Raises:
        InputError: The encoder is untrained or cannot be loaded, has no such layer, or the
            prepared data keeps no rationales.
    """
    from limbeck.model import is_untrained
    from limbeck.target_store import TargetWriter

    output_dir = Path(output_dir)
    name = str(student) if settings.encoder == "student" else settings.encoder
    if is_untrained(name):
        raise InputError(
            f"targets.encoder: {name} was never trained, its states mean nothing; name a trained "
            "one: a think-first student, the teacher, or a sentence encoder"
        )
    example_ids, rationales, source = _rationales(Path(prepared))
    rows: dict[str, int] = {}
    index = [rows.setdefault(text, len(rows)) for text in rationales]
    texts = list(rows)

    import numpy as np

    encoder = _Encoder(name, settings)
    size = len(texts) * encoder.width * _DTYPE_BYTES[settings.dtype]
    size += 2 * len(index) * _INTEGER_BYTES
    text = f"{len(texts)} rationales × {encoder.width} {settings.dtype}, {size / 1e6:.1f} MB"
    report = progress or (lambda _done, _total, _text: None)
    report(0, len(texts), text)
    output_dir.mkdir(parents=True, exist_ok=True)
    truncated = 0
    with TargetWriter(
        output_dir,
        rows=len(texts),
        width=encoder.width,
        dtype=settings.dtype,
        index=np.array(index, np.int64),
        example_ids=example_ids,
    ) as writer:
        done = 0
        for batch, states, cut in encoder.encode(texts):
            writer.write(batch, states)
            truncated += cut
            done += len(batch)
            report(done, len(texts), text)
    summary = {
        "encoder": name,
        "layer": settings.layer,
        "pooling": settings.pooling,
        "dtype": settings.dtype,
        "hidden_size": encoder.width,
        "count": len(texts),
        "examples": len(index),
        "truncated": truncated,
        "bytes": size,
        "rationales_sha256": source,
    }
    (output_dir / "targets.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return output_dir


def _rationales(prepared: Path) -> tuple[NDArray[np.int64], list[str], str]:
    """Read example ids, their rationales and the hash of both."""
    import numpy as np

    from limbeck.arrow import file_batches

    path = prepared / "examples.arrow"
    ids: list[int] = []
    texts: list[str] = []
    content = hashlib.sha256()
    for batch in file_batches(path):
        ids += batch.column("example_id").to_pylist()
        texts += batch.column("rationale").to_pylist()
    for id, text in zip(ids, texts, strict=True):
        if text is None:
            raise InputError(
                f"{path}: example {id} has no rationale; prepare again with a recipe that aligns "
                "to rationales, such as pst, so that they are kept"
            )
        content.update(f"{id}\0{text}\0".encode())
    if not ids:
        raise InputError(f"{path}: holds no example; look into rejected.jsonl")
    return np.array(ids, np.int64), texts, content.hexdigest()


class _Encoder:
    """A frozen model that turns texts into one state each."""

    def __init__(self, name: str, settings: Targets) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        from limbeck.model import quiet

        self._settings = settings
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        with quiet():
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(name)
                self._model = AutoModel.from_pretrained(name, dtype=dtype).to(self._device).eval()
            except (OSError, ValueError) as error:
                raise InputError(
                    f"targets.encoder: {name}: cannot be loaded: {error}; give a local directory "
                    "or a hub name"
                ) from error
        config = self._model.config.get_text_config()
        self.width: int = config.hidden_size
        layers: int = config.num_hidden_layers
        if not -layers - 1 <= settings.layer <= layers:
            raise InputError(
                f"targets.layer: {settings.layer}; {name} has states 0 (embeddings) to {layers}, "
                "or -1 for the last"
            )

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Tensor, int]]:
        """Yield which texts, their states `[batch, D]`, and how many of them were cut.

        Texts of like length share a batch, the longest first, so that too large a batch fails at
        once and not at the end.
        """
        import numpy as np

        tokens = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        order = np.argsort([-len(ids) for ids in tokens], kind="stable")
        limit = self._settings.max_length
        for start in range(0, len(order), self._settings.batch_size):
            batch = order[start : start + self._settings.batch_size]
            kept = [tokens[i][:limit] for i in batch]
            cut = sum(len(tokens[i]) > limit for i in batch)
            yield batch, self._states(kept), cut

    def _states(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        import torch

        longest = max(1, *(len(ids) for ids in tokens))
        ids = torch.zeros(len(tokens), longest, dtype=torch.int64)
        mask = torch.zeros(len(tokens), longest, dtype=torch.int64)
        for row, each in enumerate(tokens):
            ids[row, : len(each)] = torch.tensor(each, dtype=torch.int64)
            mask[row, : len(each)] = 1
        arguments: dict[str, Any] = {
            "input_ids": ids.to(self._device),
            "attention_mask": mask.to(self._device),
        }
        with torch.no_grad():
            if self._settings.layer == -1:
                states = self._model(**arguments).last_hidden_state
            else:
                output = self._model(**arguments, output_hidden_states=True)
                states = output.hidden_states[self._settings.layer]
        states, mask = states.float(), mask.to(self._device)
        lengths = mask.sum(1)
        if self._settings.pooling == "last":
            pooled = states[torch.arange(len(tokens)), (lengths - 1).clamp(min=0)]
            return torch.where(lengths[:, None] > 0, pooled, 0)
        kept = torch.where(mask[:, :, None] > 0, states, 0)
        return kept.sum(1) / lengths.clamp(min=1)[:, None]
