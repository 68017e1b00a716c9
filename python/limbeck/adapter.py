"""LoRA in which the rows of added tokens are trained too, or those rows alone.

A token that the method adds (`<|sem|>`, a soft prompt) has no meaning before training, so its
embedding row, and with an untied head its output row, must move although everything around them is
frozen. A soft prompt is never written, so its output rows stay as they are: near the mean of all,
where a token is less likely than an average one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn

    from limbeck.config import Train


def adapter_config(
    model: Any, settings: Train, token_ids: Sequence[int], *, unwritten: Collection[int] = ()
) -> PeftConfig:
    """Return the PEFT configuration of a recipe.

    Args:
        model: The student that it will wrap; names its embeddings.
        settings: The recipe's `train` section; without `lora_target_modules` only rows are trained.
        token_ids: Ids of the tokens whose rows are trained.
        unwritten: Those of them that the student never writes.

    Raises:
        InputError: PEFT is not installed, or nothing would be trained.
    """
    try:
        from peft import LoraConfig, TrainableTokensConfig
    except ImportError as error:
        raise InputError("train.use_peft: PEFT is missing; install `limbeck[peft]`") from error

    modules = settings.lora_target_modules
    rows = _token_rows(model, token_ids, unwritten) if token_ids else None
    if modules:
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=modules if isinstance(modules, str) else list(modules),
            trainable_token_indices=rows,
        )
    if rows is None:
        raise InputError(
            "train.lora_target_modules: empty, and the method adds no tokens, so nothing would be "
            "trained; name modules, or set prepare.soft_prompt"
        )
    # PEFT takes one list for all matrices here: where some token is written, each has a row in all.
    return TrainableTokensConfig(
        task_type="CAUSAL_LM", target_modules=list(rows), token_indices=list(token_ids)
    )


def check_continued(model: Any, settings: Train, token_ids: Sequence[int]) -> None:
    """Refuse a recipe that asks for another adapter than the one it goes on from.

    Args:
        model: The student with its adapter, loaded to be trained.
        settings: The recipe's `train` section.
        token_ids: Ids of the tokens whose rows are trained.

    Raises:
        InputError: Rank, scale or dropout differ, or tokens were added since.
    """
    config = model.peft_config[model.active_adapter]
    for key, own in (("lora_r", "r"), ("lora_alpha", "lora_alpha"), ("lora_dropout",) * 2):
        asked, has = getattr(settings, key), getattr(config, own, None)
        if has is not None and asked != has:
            raise InputError(
                f"train.{key}: {asked}, but the adapter that training goes on from has {has}; make "
                "them the same, or start from a merged student"
            )
    rows = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", [])
    known = {row for each in (rows.values() if isinstance(rows, dict) else [rows]) for row in each}
    if missing := set(token_ids) - known:
        raise InputError(
            f"prepare.template: adds {len(missing)} tokens whose rows the adapter that training "
            "goes on from does not train; let the phases have the same added tokens"
        )


def _token_rows(
    model: Any, token_ids: Sequence[int], unwritten: Collection[int]
) -> dict[str, list[int]]:
    """Say which rows of which matrices are trained.

    By name, since the list form reaches the input embedding only: with an untied head the token
    would then never be emitted. A tied head follows its embedding and is not named.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    rows = {_name_of(model, embedding): list(token_ids)}
    written = [each for each in token_ids if each not in unwritten]
    if head is not None and head.weight is not embedding.weight and written:
        rows[_name_of(model, head)] = written
    return rows


def _name_of(model: nn.Module, module: nn.Module) -> str:
    return next(name for name, each in model.named_modules() if each is module)
