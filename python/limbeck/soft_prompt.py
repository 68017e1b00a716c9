"""A soft prompt trained through a small network, which is folded away when the student is saved.

The rows of the prompt's tokens are those of the embedding plus what the network makes of them, so
that they share their gradients (P-Tuning's reparameterisation). The network starts as zero and its
outcome is written into the rows at the end: a saved student has ordinary rows and no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import InputError
from limbeck.forward import causal_model, keep_apart

SUBMODULE = "soft_prompt"


class SoftPrompt:
    """The network between the stored rows and those that the student sees.

    Installed on the input embedding, and on a head that is tied to it: folding must not change a
    single logit.

    Args:
        student: A causal language model of transformers, or a PEFT model around one.
        token_ids: Ids of the prompt's tokens.
        width: Of the hidden layer.

    Raises:
        InputError: The student's embedding is no plain table of rows.
    """

    def __init__(self, student: Any, token_ids: Sequence[int], width: int) -> None:
        model = causal_model(student)
        self._student = student
        self._embedding: nn.Module = model.get_input_embeddings()
        head = model.get_output_embeddings()
        weight = _table(self._embedding)
        self._ids = torch.tensor(list(token_ids), device=weight.device)
        # Gemma's embedding multiplies its rows; the head that shares them does not.
        self._scale = float(getattr(_bare(self._embedding), "embed_scale", 1.0))
        with torch.no_grad():
            seen = self._embedding.forward(self._ids)
            if not torch.allclose(seen, weight[self._ids] * self._scale, rtol=1e-2, atol=1e-5):
                raise InputError(
                    "train.soft_prompt_mlp: the student's embedding is no plain table of rows, so "
                    "the network could not be folded into it; set it to 0"
                )
        self.network = _network(weight.shape[1], width).to(weight.device)
        student.add_module(SUBMODULE, self.network)
        keep_apart(student, SUBMODULE, self.network)
        self._hooks = [self._embedding.register_forward_hook(self._on_embedding)]
        if head is not None and _table(head) is weight:
            self._hooks.append(head.register_forward_hook(self._on_head))

    def rows(self) -> Tensor:
        """Return the rows `[k, D]` that the student sees."""
        own: Tensor = self._embedding.forward(self._ids)  # past the hook
        change: Tensor = self.network(own.to(next(self.network.parameters()).dtype))
        return own + change.to(own.dtype)

    def fold(self) -> None:
        """Write the rows into the embedding and take the network away."""
        with torch.no_grad():
            rows = self.rows() / self._scale
            _write(self._embedding, self._ids, rows)
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        delattr(self._student, SUBMODULE)

    def _on_embedding(self, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        del module
        matches = args[0][..., None] == self._ids  # [..., k]
        mine = self.rows().to(out.dtype)[matches.byte().argmax(-1)]
        return torch.where(matches.any(-1, keepdim=True), mine, out)

    def _on_head(self, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        rows = (self.rows() / self._scale).to(args[0].dtype)
        bias = getattr(module, "bias", None)
        logits = F.linear(args[0], rows, None if bias is None else bias[self._ids])
        return out.index_copy(-1, self._ids, logits.to(out.dtype))


def _network(width: int, hidden: int) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, width))
    for parameter in network[2].parameters():
        nn.init.zeros_(parameter)
    return network


def _bare(module: Any) -> Any:
    """What PEFT has wrapped, layer by layer."""
    while True:
        inner = getattr(module, "base_layer", None) or getattr(module, "original_module", None)
        if inner is None:
            return module
        module = inner


def _table(module: Any) -> Tensor:
    weight: Tensor = _bare(module).weight
    return weight


def _write(embedding: Any, ids: Tensor, rows: Tensor) -> None:
    """Write rows where they are stored: in the table, or in the adapter that stands over it."""
    layer = getattr(embedding, "token_adapter", embedding)
    deltas = getattr(layer, "trainable_tokens_delta", None)
    if deltas is None:
        _table(embedding)[ids] = rows.to(_table(embedding).dtype)
        return
    for adapter in layer.active_adapters:
        held = list(layer.token_indices[adapter])
        places = [held.index(each) for each in ids.tolist()]
        deltas[adapter][places] = rows.to(deltas[adapter].dtype)
