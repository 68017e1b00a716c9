"""From the `train` section of a recipe to the Trainer's arguments."""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.config import suggest
from limbeck.errors import InputError
from limbeck.trainer import DistillConfig

if TYPE_CHECKING:
    from limbeck.config import Train

METRIC = "accuracy"
"""Of held-out questions; chooses the checkpoint."""

# What the stage decides itself, and where the user says it instead.
_OWN = {
    "output_dir": "give `output_dir` of the run",
    "seed": "set the recipe's `seed`",
    "objectives": "give them as `train.objectives`",
    "remove_unused_columns": "the collator reads every column; leave it out",
    "resume_from_checkpoint": "a stage that was cut off resumes by itself",
    "fsdp": "shard from a script that uses `limbeck.DistillTrainer` and its `save_model`",
    "deepspeed": "shard from a script that uses `limbeck.DistillTrainer` and its `save_model`",
    "push_to_hub": "upload the finished student with `hf upload`",
}


def arguments(
    settings: Train, output_dir: Path, seed: int, *, validated: bool = False
) -> DistillConfig:
    """Return the training arguments of a recipe, every key of it known.

    Args:
        settings: The recipe's `train` section.
        output_dir: Where checkpoints go.
        seed: Of initialization and data order.
        validated: Whether there are held-out questions: then every checkpoint that is saved is
            judged by them, and the best is loaded at the end, unless the recipe says otherwise.

    Raises:
        InputError: A key is unknown, belongs elsewhere, or transformers refuses its value.
    """
    known = {each.name: str(each.type) for each in fields(DistillConfig) if each.init}
    values: dict[str, Any] = {}
    for key, value in settings.arguments.items():
        if key in _OWN:
            raise InputError(f"train.{key}: not set here; {_OWN[key]}")
        if key not in known:
            raise InputError(
                f"train.{key}: unknown key; {suggest(key, [*known, *type(settings).model_fields])}"
            )
        # YAML reads 2e-5 as text, for want of a point.
        values[key] = _number(value) if "float" in known[key] else value
    if validated:
        values = {**_selection(values), **values}
    values = {"disable_tqdm": True, "logging_steps": 10, "save_total_limit": 1, **values}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return DistillConfig(
                output_dir=str(output_dir),
                seed=seed,
                objectives=[dict(term) for term in settings.objectives],
                **values,
            )
    except InputError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"train: {error}; see transformers' TrainingArguments") from error


def _selection(values: dict[str, Any]) -> dict[str, Any]:
    """What makes the Trainer judge each checkpoint and load the best, by its own settings."""
    chosen: dict[str, Any] = {"metric_for_best_model": METRIC}
    strategy = values.get("save_strategy", "steps")
    if strategy in ("steps", "epoch"):
        chosen |= {"eval_strategy": strategy, "load_best_model_at_end": True}
    if strategy == "steps":
        chosen["eval_steps"] = values.get("save_steps", 500)  # transformers' default of save_steps
    return chosen


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
