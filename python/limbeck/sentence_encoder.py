"""What a sentence encoder's own files say of its embedding.

Sentence encoders are published with `modules.json`: a transformer, the pooling of its states, and
what follows. Only what limbeck computes just so is taken; anything else is refused, since a vector
that is nearly the embedding is not what the encoder was trained to give.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import InputError

_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class SentenceEmbedding:
    """How states become an embedding.

    Attributes:
        pooling: `cls`, `mean` or `last`, over all tokens that the encoder reads.
        normalize: Whether the embedding has length 1.
        max_length: Tokens that the encoder reads at most, its special tokens among them; None
            where the files do not say.
    """

    pooling: str
    normalize: bool
    max_length: int | None


def sentence_embedding(name: str) -> SentenceEmbedding | None:
    """Read how a sentence encoder pools, None for a model that is none.

    Args:
        name: A local directory or a hub name.

    Raises:
        InputError: A file is damaged, or asks for something that limbeck does not compute.
    """
    modules = _read(name, "modules.json")
    if modules is None:
        return None
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise _refused(name, f"modules.json is made of {', '.join(kinds)}")
    pooling = _read(name, f"{modules[1]['path']}/config.json") or {}
    modes = [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise _refused(name, f"its pooling is {' + '.join(modes) or 'not said'}")
    if (_read(name, "config_sentence_transformers.json") or {}).get("default_prompt_name"):
        raise _refused(name, "it puts a prompt before every text")
    reading = _read(name, "sentence_bert_config.json") or {}
    if reading.get("do_lower_case"):
        raise _refused(name, "it lowers the case of every text")
    return SentenceEmbedding(
        pooling=_POOLINGS[modes[0]],
        normalize="Normalize" in kinds,
        max_length=reading.get("max_seq_length"),
    )


def _refused(name: str, problem: str) -> InputError:
    return InputError(
        f"targets.encoder: {name}: {problem}, which limbeck does not compute; take another "
        "encoder, or set targets.pooling to `mean` or `last` of the states as they are"
    )


def _read(name: str, file_name: str) -> Any:
    """Return a JSON file of a checkpoint, None where it has none of that name."""
    path = _find(name, file_name)
    if path is None:
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore the file") from error


def _find(name: str, file_name: str) -> Path | None:
    if Path(name).is_dir():
        path = Path(name) / file_name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(name, file_name))
    except EntryNotFoundError:
        return None  # off line, what the cache lacks counts as not there
