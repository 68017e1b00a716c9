"""What a causal model writes after each of some prompts, generated together.

Several continuations of one prompt share its keys and values: the prompt is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["continuations", "seeded"]


def continuations(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    stop_ids: Sequence[int],
    stop_string: str | None = None,
    samples: int = 1,
) -> list[list[int]]:
    """Return the ids that a model writes after each of some prompts, generated together.

    Args:
        model: A causal model; its own decoding settings do not count.
        tokenizer: Needed to see a stop string.
        prompts: Token ids.
        max_new_tokens: Where a text that does not end is cut off.
        temperature: 0 is greedy.
        top_p: Mass of the likeliest tokens that are sampled from.
        stop_ids: Tokens that end a text; the first of them also pads.
        stop_string: Text that ends one.
        samples: Continuations of each prompt.

    Returns:
        `samples` rows for each prompt, prompt by prompt, with their stop tokens, and with padding
        where others are longer.
    """
    import torch
    from transformers import GenerationConfig

    width = max(map(len, prompts))
    padding = stop_ids[0]
    # On the left, so that all prompts end in one column; the mask also gives the positions.
    ids = torch.full((len(prompts), width), padding)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    chosen: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        chosen |= {"temperature": temperature, "top_p": top_p, "top_k": 0}
    if stop_string:
        chosen["stop_strings"] = stop_string
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stop_ids),
        pad_token_id=padding,
        use_cache=True,
        **chosen,
    )
    ids, mask = ids.to(model.device), mask.to(model.device)
    with torch.inference_mode(), _undisturbed(model):
        known: dict[str, Any] = {}
        if samples > 1:
            cache = _prefix(model, ids, mask, samples)
            ids, mask = (each.repeat_interleave(samples, dim=0) for each in (ids, mask))
            known = {} if cache is None else {"past_key_values": cache}
        out = model.generate(
            ids, attention_mask=mask, generation_config=config, tokenizer=tokenizer, **known
        )
    rows: list[list[int]] = out[:, width:].tolist()
    return rows


def _prefix(model: Any, ids: Tensor, mask: Tensor, samples: int) -> Any:
    """Return keys and values of all but the last column, once for each sample.

    The last column is left to `generate`, which needs a token to start from. None where the prompts
    are too short to share anything, or the model keeps another kind of state.
    """
    from limbeck.forward import causal_model

    if int(mask.sum(1).min()) < 2:
        return None
    before = mask[:, :-1]
    out = causal_model(model).get_decoder()(
        input_ids=ids[:, :-1],
        attention_mask=before,
        position_ids=(before.cumsum(1) - 1).clamp(min=0),
        use_cache=True,
    )
    cache = getattr(out, "past_key_values", None)
    layers = getattr(cache, "layers", ())
    if cache is None or not layers:
        return None
    if not all(hasattr(layer, "batch_repeat_interleave") for layer in layers):
        return None
    cache.batch_repeat_interleave(samples)
    return cache


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw under a seed and leave the caller's random state as it was."""
    import torch

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Generate with a model that may be in training, and leave it as it was.

    The settings alone decide: a checkpoint may carry a temperature or a penalty of its own.
    """
    from transformers import GenerationConfig

    # What PEFT wraps has the settings; the wrapper passes them through.
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    was_training, own = model.training, inner.generation_config
    model.eval()
    inner.generation_config = GenerationConfig()
    try:
        yield
    finally:
        inner.generation_config = own
        model.train(was_training)
