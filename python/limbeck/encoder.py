"""The frozen model whose states are the targets.

Any `AutoModel` of transformers: a student, a teacher of any width, a sentence encoder, the encoder
of an encoder-decoder. Texts stand between the special tokens that the model's own tokenizer puts
there, since it knows no text without them; in the pooling they count only where a sentence
encoder's files say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.layers import layer_number, states_by_layer

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.config import Targets

_TEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class Passage:
    """What the encoder reads for one rationale.

    Attributes:
        ids: Token ids.
        counted: Which tokens' states count: they are pooled, or kept one by one.
        cut: Whether more was to be read.
    """

    ids: Sequence[int]
    counted: Sequence[bool]
    cut: bool = False


class Encoder:
    """A frozen model that turns rationales into states.

    Its tokenizer and its sizes are there at once, its weights when the first states are asked for.

    Args:
        name: A local directory or a hub name.
        settings: Layer, pooling and length.

    Raises:
        InputError: It cannot be loaded, or has no such layer.

    Attributes:
        width: The width D of a state.
        pooling: `mean`, `last`, `cls` or `token`.
        limit: Tokens that it reads at most.
    """

    def __init__(self, name: str, settings: Targets) -> None:
        import torch
        from transformers import AutoConfig, AutoTokenizer

        from limbeck.model import quiet
        from limbeck.sentence_encoder import sentence_embedding

        self.name = name
        self._model: Any = None
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        with quiet():
            try:
                self.tokenizer: Any = AutoTokenizer.from_pretrained(name)
                whole = AutoConfig.from_pretrained(_base(name))
            except (OSError, ValueError) as error:
                raise self._unreadable(error) from error
        config = whole.get_text_config(encoder=True)
        self._revision = getattr(whole, "_commit_hash", None)
        self.width: int = config.hidden_size
        self._layer = layer_number(settings.layer, config, place="targets.layer", model=name)
        embedding = sentence_embedding(name) if settings.pooling == "auto" else None
        self._count_special = embedding is not None
        self._normalize = embedding is not None and embedding.normalize
        self.pooling: str = settings.pooling
        if settings.pooling == "auto":
            self.pooling = embedding.pooling if embedding else "mean"
        self.limit: int = min(
            settings.max_length,
            self.tokenizer.model_max_length,
            getattr(config, "max_position_embeddings", None) or settings.max_length,
            (embedding and embedding.max_length) or settings.max_length,
        )
        specials = self.tokenizer.num_special_tokens_to_add()
        if self.limit <= specials:
            raise InputError(
                f"targets.max_length: {self.limit} leaves no room beside the {specials} special "
                f"tokens of {name}; give more"
            )

    def identity(self) -> dict[str, Any]:
        """Everything that decides the states of a passage, for knowing them again."""
        from limbeck.stages import digest

        content = [digest(Path(place)) for place in dict.fromkeys((self.name, _base(self.name)))]
        return {
            "encoder": [self._revision, *content],
            "layer": self._layer,
            "pooling": self.pooling,
            "special_tokens": self._count_special,
            "normalize": self._normalize,
            "max_length": self.limit,
            "computed_in": str(self._dtype).removeprefix("torch."),
        }

    def read(self, texts: Sequence[str]) -> Iterator[Passage]:
        """Tokenize texts, which are content: what looks like a special token in them is none."""
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            chunk = list(texts[start : start + _TEXTS_AT_ONCE])
            for text, passage in zip(chunk, self._tokenize(chunk), strict=True):
                if len(passage.ids) <= self.limit:
                    yield passage
                else:  # cut by the tokenizer, which keeps the special token at the end
                    (short,) = self._tokenize([text], truncation=True, max_length=self.limit)
                    yield Passage(short.ids, short.counted, cut=True)

    def _tokenize(self, texts: list[str], **cut: Any) -> list[Passage]:
        from limbeck.model import quiet

        with quiet():  # that a text is too long is counted, not logged
            tokens = self.tokenizer(
                texts, split_special_tokens=True, return_special_tokens_mask=True, **cut
            )
        return [
            Passage(ids, [self._count_special or not special for special in mask])
            for ids, mask in zip(tokens["input_ids"], tokens["special_tokens_mask"], strict=True)
        ]

    def states(self, passages: Sequence[Passage]) -> Tensor:
        """Return fp32 states, one a passage `[B, D]`, or one a counted token in their order."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        ids_BT, mask_BT, counted_BT = (
            pad_sequence([torch.tensor(list(row) or [0]) for row in rows], batch_first=True)
            for rows in (
                [passage.ids for passage in passages],
                [[True] * len(passage.ids) for passage in passages],
                [passage.counted for passage in passages],
            )
        )
        mask_BT, counted_BT = (each.to(self._device).bool() for each in (mask_BT, counted_BT))
        arguments = {"input_ids": ids_BT.to(self._device), "attention_mask": mask_BT.long()}
        model = self._loaded()
        with torch.no_grad():
            states_BTD = states_by_layer(model, [self._layer], **arguments)[self._layer].float()
        if self.pooling == "token":
            chosen: Tensor = states_BTD[counted_BT]
            return chosen
        pooled_BD = _pool(states_BTD, counted_BT, self.pooling)
        return torch.nn.functional.normalize(pooled_BD) if self._normalize else pooled_BD

    def _loaded(self) -> Any:
        if self._model is None:
            from transformers import AutoModel

            from limbeck.model import load_trained, quiet

            with quiet():
                try:
                    if _base(self.name) != self.name:
                        model = load_trained(
                            self.name, tokenizer_length=len(self.tokenizer), dtype=self._dtype
                        ).get_decoder()
                    else:
                        model = AutoModel.from_pretrained(self.name, dtype=self._dtype)
                except (OSError, ValueError) as error:
                    raise self._unreadable(error) from error
            if model.config.is_encoder_decoder:
                model = model.get_encoder()
            model.config.use_cache = False  # nothing is generated: keys and values only fill memory
            self._model = model.to(self._device).eval()
        return self._model

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            f"targets.encoder: {self.name}: cannot be loaded: {error}; give a local directory or "
            "a hub name"
        )


def _base(name: str) -> str:
    """Where an adapter's base is; any other model is its own."""
    adapter = Path(name) / "adapter_config.json"
    if not adapter.is_file():
        return name
    try:
        return str(json.loads(adapter.read_text("utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError) as error:
        raise InputError(f"{adapter}: names no base model; restore the file") from error


def _pool(states_BTD: Tensor, counted_BT: Tensor, pooling: str) -> Tensor:
    """Pool the counted states of each row; a row without any gives zeros."""
    import torch

    if pooling == "mean":
        kept_BTD = torch.where(counted_BT[:, :, None], states_BTD, 0)
        return kept_BTD.sum(1) / counted_BT.sum(1).clamp(min=1)[:, None]
    positions_T = torch.arange(counted_BT.shape[1], device=counted_BT.device)
    at_B = torch.where(counted_BT, positions_T, -1).amax(1)
    if pooling == "cls":
        at_B = torch.zeros_like(at_B)
    pooled_BD = states_BTD[torch.arange(len(at_B), device=at_B.device), at_B.clamp(min=0)]
    return torch.where(at_B[:, None] >= 0, pooled_BD, 0)
