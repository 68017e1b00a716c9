"""The student's language-model head, on the rows that are trained and on no others.

`head(h)` is not always `h Wᵀ`: LoRA on the head, trained token rows on a tied embedding, soft
caps and logit scales each make that silently wrong. So the fused loss, which needs the weight
itself, is taken only for a plain linear head whose logits it was seen to reproduce; every other
model is asked for its own logits, by running its own forward with the decoder's output supplied.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint
from transformers.utils.generic import ModelOutput

from limbeck_kernels import selected_cross_entropy
from limbeck_kernels.common import accumulation_dtype

CHUNK_ROWS = 2048

# How far two ways of computing the same logits may differ, relative to the largest.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 2e-2}


class Head:
    """Logits and losses of a causal language model, given its last hidden states.

    Args:
        model: A `…ForCausalLM`, PEFT layers inside or not.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._decoder: nn.Module = model.get_decoder()
        # Bound before the student's forward is replaced: this one is the model's own.
        self._forward = model.forward
        self._fused: bool | None = None

    @property
    def fused(self) -> bool | None:
        """Whether the fused loss is used; None until the first batch has decided it."""
        return self._fused

    def logits(self, hidden_RD: Tensor) -> Tensor:
        """Return the model's own logits `[R, V]` for hidden states `[R, D]`."""
        ids = torch.zeros(1, hidden_RD.shape[0], dtype=torch.int64, device=hidden_RD.device)
        with _answering(self._decoder, hidden_RD[None]):
            logits: Tensor = self._forward(input_ids=ids, use_cache=False, return_dict=True).logits
        return logits[0]

    def cross_entropy(
        self,
        hidden_ND: Tensor,
        *,
        rows_R: Tensor,
        labels_R: Tensor,
        weights_R: Tensor,
        normalizer: Tensor,
    ) -> Tensor:
        """Return Σ wᵢ·nllᵢ / normalizer over the given rows.

        Args:
            hidden_ND: Last hidden states of all tokens, as `as_head_sees` gives them.
            rows_R: int64, distinct.
            labels_R: int64, the token that each row predicts.
            weights_R: float, no gradient.
            normalizer: 0-d; 0 gives 0.
        """
        arguments = self.fused_arguments(
            hidden_ND, rows_R=rows_R, labels_R=labels_R, weights_R=weights_R, normalizer=normalizer
        )
        if arguments is not None:
            return selected_cross_entropy(hidden_ND, **arguments)
        total = (self._own_nll(hidden_ND, rows_R, labels_R) * weights_R).sum()
        return total / torch.where(normalizer == 0, 1.0, normalizer)

    def nll(self, hidden_ND: Tensor, *, rows_R: Tensor, labels_R: Tensor) -> Tensor:
        """Return each row's own loss `[R]`, with the arguments of `cross_entropy`."""
        ones_R = torch.ones_like(labels_R, dtype=accumulation_dtype(hidden_ND.dtype))
        arguments = self.fused_arguments(
            hidden_ND, rows_R=rows_R, labels_R=labels_R, weights_R=ones_R, normalizer=None
        )
        if arguments is None:
            return self._own_nll(hidden_ND, rows_R, labels_R)
        return selected_cross_entropy(hidden_ND, **arguments, reduction="none")[rows_R]

    def fused_arguments(
        self,
        hidden_ND: Tensor,
        *,
        rows_R: Tensor,
        labels_R: Tensor,
        weights_R: Tensor,
        normalizer: Tensor | None,
    ) -> dict[str, Any] | None:
        """Return what `selected_cross_entropy` takes beside the states, as `cross_entropy` does.

        None unless that loss was seen to give the model's own logits, on the first rows ever given.
        """
        if self._fused is None and rows_R.numel():
            self._fused = self._is_reproduced(hidden_ND[rows_R[:8]].detach())
        if not self._fused:
            return None
        n_tokens = hidden_ND.shape[0]
        return {
            "labels": labels_R.new_zeros(n_tokens).index_copy(0, rows_R, labels_R),
            "weights": weights_R.new_zeros(n_tokens).index_copy(0, rows_R, weights_R),
            "rows": rows_R,
            "normalizer": normalizer,
            **self._parameters(),
        }

    def _own_nll(self, hidden_ND: Tensor, rows_R: Tensor, labels_R: Tensor) -> Tensor:
        """The losses of the model's own logits, a chunk's at a time, rebuilt in backward."""
        parts = [
            checkpoint(
                self._chunk_nll, hidden_ND[rows_R[chunk]], labels_R[chunk], use_reentrant=False
            )
            for at in range(0, max(1, rows_R.numel()), CHUNK_ROWS)
            for chunk in [slice(at, at + CHUNK_ROWS)]
        ]
        return torch.cat(parts)

    def _chunk_nll(self, hidden_RD: Tensor, labels_R: Tensor) -> Tensor:
        logits_RV = self.logits(hidden_RD)
        logits_RV = logits_RV.to(accumulation_dtype(logits_RV.dtype))
        return F.cross_entropy(logits_RV, labels_R, reduction="none")

    def _parameters(self) -> dict[str, Any]:
        """What the fused loss takes for `head(h)`, as far as head and config tell."""
        head = self._model.get_output_embeddings()
        config = self._model.config.get_text_config()
        divisor = getattr(config, "logits_scaling", None)  # Granite
        scale = getattr(config, "logit_scale", None)  # Cohere
        return {
            "head_weight": head.weight,
            "bias": head.bias,
            "softcap": getattr(config, "final_logit_softcapping", None),  # Gemma
            "scale": (scale or 1.0) / (divisor or 1.0),
        }

    @torch.no_grad()
    def _is_reproduced(self, hidden_RD: Tensor) -> bool:
        """Whether the fused parameters give the model's own logits.

        A wrapped head is not asked: an adapter starts as the identity and only later differs. A
        soft cap does not show on small logits, so the rows are also tried stretched.
        """
        head = self._model.get_output_embeddings()
        if type(head) is not nn.Linear or _is_hooked(head) or hasattr(head.weight, "full_tensor"):
            return False
        largest = self.logits(hidden_RD).abs().max().clamp(min=1e-6)
        hidden_RD = torch.cat([hidden_RD, hidden_RD * (60 / largest).to(hidden_RD.dtype)])
        own = self.logits(hidden_RD)
        if not own.isfinite().all():
            return False
        values, dtype = self._parameters(), accumulation_dtype(hidden_RD.dtype)
        mine = F.linear(
            hidden_RD.to(dtype),
            values["head_weight"].to(hidden_RD.dtype).to(dtype),
            None if values["bias"] is None else values["bias"].to(dtype),
        )
        mine = mine * values["scale"]
        if values["softcap"] is not None:
            mine = values["softcap"] * torch.tanh(mine / values["softcap"])
        gap = (own.to(dtype) - mine).abs().max() / own.abs().max().clamp(min=1)
        return bool(gap <= _TOLERANCE[hidden_RD.dtype])


def as_head_sees(hidden_ND: Tensor) -> Tensor:
    """Return the states in the dtype that autocast would lower them to for the head's product."""
    device = hidden_ND.device.type
    if torch.is_autocast_enabled(device):
        return hidden_ND.to(torch.get_autocast_dtype(device))
    return hidden_ND


@dataclass
class _Answer(ModelOutput):
    """A decoder's output whatever its class: states, and None for all else it may be asked."""

    last_hidden_state: Tensor | None = None

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextmanager
def _answering(decoder: nn.Module, hidden_BTD: Tensor) -> Iterator[None]:
    """Let `decoder` answer any call with these states, and as before afterwards."""
    before = decoder.__dict__.get("forward")
    decoder.forward = lambda *_, **__: _Answer(last_hidden_state=hidden_BTD)
    try:
        yield
    finally:
        del decoder.forward
        if before is not None:
            decoder.forward = before


def _is_hooked(module: nn.Module) -> bool:
    hooks = itertools.chain(module._forward_hooks, module._forward_pre_hooks)
    return any(True for _ in hooks) or parametrize.is_parametrized(module)
