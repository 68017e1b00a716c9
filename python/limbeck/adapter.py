"""LoRA in which the rows of added tokens are trained too.

A token that the method adds (`<|sem|>`) has no meaning before training, so its embedding row, and
with an untied head its output row, must move although everything around them is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn

    from limbeck.config import Train


def lora_config(model: Any, settings: Train, token_ids: Sequence[int]) -> LoraConfig:
    """Return the PEFT configuration of a recipe.

    Args:
        model: The student that it will wrap; names its embeddings.
        settings: The recipe's `train` section.
        token_ids: Ids of the tokens whose rows are trained.

    Raises:
        InputError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise InputError("train.use_peft: PEFT is missing; install `limbeck[peft]`") from error

    modules = settings.lora_target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        trainable_token_indices=_token_rows(model, token_ids) if token_ids else None,
    )


def _token_rows(model: Any, token_ids: Sequence[int]) -> dict[str, list[int]]:
    """Say which rows of which matrices are trained.

    By name, since the list form reaches the input embedding only: with an untied head the token
    would then never be emitted. A tied head follows its embedding and is not named.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    matrices = [embedding]
    if head is not None and head.weight is not embedding.weight:
        matrices.append(head)
    return {_name_of(model, matrix): list(token_ids) for matrix in matrices}


def _name_of(model: nn.Module, module: nn.Module) -> str:
    return next(name for name, each in model.named_modules() if each is module)
