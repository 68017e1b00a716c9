"""Attention masks of rows that share prompts, as each attention implementation takes them.

A token sees the tokens of its group up to itself that are of the prompt or of its own branch;
within a sliding window, those that are near enough by position. sdpa takes that as booleans, eager
as what is added to the scores, flex attention as a block mask. A model whose layers differ takes a
mask for each type of layer: one for all would switch the windows off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.errors import InputError

Seen = Callable[[Tensor, Any, Tensor, Tensor], Tensor]
"""Of batch, head, query and key: whether the query sees the key."""


class SharingError(InputError):
    """The examples of a row cannot share a prompt in this student."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"student: {reason} in {model}, so the examples of a row cannot share a prompt; use "
            "sdpa, eager or flex_attention with a student of attention layers alone, or prepare "
            "with packing: bfd or none"
        )


# Windows of models that do not tell them by `layer_types`.
_OTHER_WINDOWS = ("attention_chunk_size", "attention_window_size", "window_size")


def trie_masks(decoder: Any, positions_BT: Tensor, trie: Mapping[str, Tensor]) -> Any:
    """Return what `decoder` takes as `attention_mask`.

    Args:
        decoder: A model of transformers.
        positions_BT: int64, each token's position in its own example.
        trie: `groups` and `branches`, int64 `[B, T]`, of `limbeck.trie.Folded`.

    Raises:
        SharingError: Its layers or its attention cannot take such masks.
    """
    by_kind = windows(decoder)
    make = _MAKE[decoder.config._attn_implementation]
    masks = {
        kind: make(_seen(positions_BT, trie, window), positions_BT, decoder.dtype)
        for kind, window in by_kind.items()
    }
    return masks.get("", masks)


def windows(decoder: Any) -> dict[str, int | None]:
    """The sliding window of each type of layer, None for none; `""` where all are of one.

    Args:
        decoder: A model of transformers.

    Raises:
        SharingError: Its config tells that its layers or its attention cannot take such masks.
    """
    config, model = decoder.config, type(decoder).__name__
    implementation = config._attn_implementation
    if implementation not in _MAKE:
        reason = f"attn_implementation={implementation!r} takes no mask by branches"
        raise SharingError(model, reason)
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    for name in _OTHER_WINDOWS:
        if getattr(config, name, None) is not None:
            raise SharingError(model, f"attention is cut by {name}")
    if kinds is None:
        return {"": window}
    known = {"full_attention": None, "sliding_attention": window}
    for kind in kinds:
        if kind not in known:
            raise SharingError(model, f"there are layers of {kind}")
    return {kind: known[kind] for kind in dict.fromkeys(kinds)}


def _seen(positions_BT: Tensor, trie: Mapping[str, Tensor], window: int | None) -> Seen:
    groups_BT, branches_BT = trie["groups"], trie["branches"]

    def seen(b: Tensor, h: Any, q: Tensor, k: Tensor) -> Tensor:
        del h
        own, other = branches_BT[b, q], branches_BT[b, k]
        sees = (k <= q) & (groups_BT[b, q] == groups_BT[b, k]) & ((other == 0) | (other == own))
        if window is None:
            return sees
        return sees & (positions_BT[b, q] - positions_BT[b, k] < window)

    return seen


def _boolean(seen: Seen, positions_BT: Tensor, dtype: torch.dtype) -> Tensor:
    """`[B, 1, T, T]`; True is seen."""
    del dtype
    batch, length = positions_BT.shape
    b = torch.arange(batch, device=positions_BT.device).view(-1, 1, 1, 1)
    t = torch.arange(length, device=positions_BT.device)
    return seen(b, None, t.view(1, 1, -1, 1), t.view(1, 1, 1, -1))


def _float(seen: Seen, positions_BT: Tensor, dtype: torch.dtype) -> Tensor:
    """`[B, 1, T, T]`, added to the scores."""
    mask = _boolean(seen, positions_BT, dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


def _block(seen: Seen, positions_BT: Tensor, dtype: torch.dtype) -> Any:
    del dtype
    from torch.nn.attention.flex_attention import create_block_mask

    batch, length = positions_BT.shape
    return create_block_mask(seen, batch, None, length, length, device=positions_BT.device)


_MAKE: Mapping[str, Callable[[Seen, Tensor, torch.dtype], Any]] = {
    "sdpa": _boolean,
    "eager": _float,
    "flex_attention": _block,
}
