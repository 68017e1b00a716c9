"""The student's forward, extended: given our batch it returns the losses of all objectives.

Everything that is trained lives inside the one wrapped module, so DDP averages its gradients, FSDP
shards it and the optimizer finds it. Without our keys the forward is the ordinary one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.errors import InputError
from limbeck.head import Head, as_head_sees
from limbeck.layers import LAST, layer_number, states_by_layer
from limbeck.objectives.base import Objective, States, measured
from limbeck.trie_masks import trie_masks

SUBMODULE = "objectives"


def causal_model(student: nn.Module) -> Any:
    """Return the `…ForCausalLM` inside a student that PEFT may have wrapped."""
    wrapped: Any = student
    return wrapped.get_base_model() if hasattr(student, "peft_config") else wrapped


def attach(student: Any, objectives: Sequence[Objective]) -> Head:
    """Install objectives in a student.

    The student's forward, called with `selections` and `normalizers` beside `input_ids` and
    `position_ids` (and `trie`, where prompts are shared), returns `{"loss": 0-d, "terms": {name:
    0-d}}`. What the objectives train is kept out of the student's own checkpoint.

    Args:
        student: A causal language model of transformers, or a PEFT model around one.
        objectives: The device sides, in the order of the normalizers.

    Returns:
        The head, which tells which way its loss is computed.

    Raises:
        InputError: The student's adapter is a prompt, which packed rows cannot carry, or an
            objective reads a layer that the student does not have.
    """
    configs = getattr(student, "peft_config", {})
    if any(config.is_prompt_learning for config in configs.values()):
        raise InputError("peft_config: prompt learning does not pack; use LoRA")
    model = causal_model(student)
    head, decoder, ordinary = Head(model), model.get_decoder(), student.forward
    for objective in objectives:
        objective.layer = layer_number(
            objective.layer,
            model.config.get_text_config(),
            place=f"train.objectives: {objective.name}: layer",
            model="the student",
        )
    layers = {objective.layer for objective in objectives}
    module = nn.ModuleDict({objective.name: objective for objective in objectives})
    module.to(next(student.parameters()).device)
    student.add_module(SUBMODULE, module)
    keep_apart(student, SUBMODULE, module)

    @functools.wraps(ordinary)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if "selections" not in kwargs:
            return ordinary(*args, **kwargs)
        selections, normalizers = kwargs["selections"], kwargs["normalizers"]
        trie = kwargs.get("trie")
        found = packed_states(decoder, kwargs["input_ids"], kwargs["position_ids"], layers, trie)
        hidden_by_layer = {layer: found_BTD.flatten(0, 1) for layer, found_BTD in found.items()}
        if trie is not None:
            # What a branch writes first comes from the last token of the prompt that it shares.
            hidden_by_layer = {n: hidden[trie["sources"]] for n, hidden in hidden_by_layer.items()}
        states = States(as_head_sees(hidden_by_layer.pop(LAST)), head, hidden_by_layer)
        loss, terms = measured(objectives, states, selections, normalizers)
        return {"loss": loss, "terms": terms}

    student.forward = forward
    return head


def keep_apart(student: nn.Module, name: str, module: nn.Module) -> None:
    """Keep a submodule that was added to a student out of the student's own checkpoint.

    Args:
        student: The student, which PEFT may have wrapped.
        name: The submodule's name.
        module: The submodule.
    """
    model = causal_model(student)
    # Respected when saving and when checking what a checkpoint lacks.
    model._keys_to_ignore_on_save = {
        *(model._keys_to_ignore_on_save or ()),
        *(f"{name}.{key}" for key in module.state_dict()),
    }


def packed_states(
    decoder: nn.Module,
    input_ids: Tensor,
    position_ids: Tensor,
    layers: Iterable[int] = (),
    trie: Mapping[str, Tensor] | None = None,
) -> dict[int, Tensor]:
    """Return the states `[B, T, D]` of packed rows by layer, the last always among them.

    A cache or an attention mask would switch off the masks that transformers derives from
    restarting positions, and examples would see each other; rows that share prompts bring masks of
    their own.
    """
    masks = None if trie is None else trie_masks(decoder, position_ids, trie)
    return states_by_layer(
        decoder,
        layers,
        input_ids=input_ids,
        position_ids=position_ids,
        attention_mask=masks,
        use_cache=False,
    )


def hidden_states(
    decoder: nn.Module,
    input_ids: Tensor,
    position_ids: Tensor,
    trie: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the last hidden states `[B, T, D]` of packed rows."""
    return packed_states(decoder, input_ids, position_ids, trie=trie)[LAST]
