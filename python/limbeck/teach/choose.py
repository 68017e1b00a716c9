"""From a recipe's section and the words of a command line to the teacher they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.config import TEACHERS, AnyTeacher, RecipeError, Teacher, check, suggest
from limbeck.errors import InputError
from limbeck.recipes.base import merge
from limbeck.recipes.load import nest, parse_override, place_of, read

__all__ = ["choose_applier", "choose_teacher"]

# Hypotheses are wanted for their variety.
OF_PROMPTS = {"temperature": 1.0}


def choose_teacher(
    recipe: Path | None,
    overrides: Sequence[str],
    *,
    local: bool,
    prompts: bool,
    chosen: Mapping[str, Any],
) -> AnyTeacher:
    """Return the teacher that is meant; an oracle where nothing names a model.

    Args:
        recipe: A file with a `teacher` section.
        overrides: `key=value` of that section.
        local: Whether the model is on this machine.
        prompts: Whether it gets ready prompts: the default temperature is then 1.
        chosen: Further keys; those that are None were not given.

    Raises:
        InputError: A key is unknown or out of range, or belongs to another kind of teacher.
    """
    values, places = _section(recipe)
    if prompts:
        values = {**OF_PROMPTS, **values}
    for keys, value in map(parse_override, overrides):
        values = merge(values, nest(keys, value))
    values = merge(values, {key: value for key, value in chosen.items() if value is not None})
    if local:
        values["name"] = "local"
    default = "openai" if "model" in values or prompts else "oracle"
    name = str(values.setdefault("name", default))
    if name not in TEACHERS:
        raise InputError(f"teacher.name: there is no {name!r}; {suggest(name, TEACHERS)}")
    try:
        return check(TEACHERS[name], values)
    except RecipeError as error:
        raise InputError(f"{place_of(('teacher', *error.path), places)}teacher.{error}") from None


def choose_applier(
    recipe: Path | None,
    overrides: Sequence[str],
    *,
    local: bool,
    chosen: Mapping[str, Any],
    scoring: str | None,
    output_dir: Path | None,
) -> dict[str, Any] | None:
    """Return how a model is to apply rules, as `score_by_model` takes it; None where none is named.

    Args:
        recipe: A file with a `teacher` section.
        overrides: `key=value` of that section.
        local: Whether the model is on this machine.
        chosen: Further keys; those that are None were not given.
        scoring: `model`, the default, or `auto`.
        output_dir: Where its answers stand.

    Raises:
        InputError: A key is unknown or out of range, or what a model needs or alone can use is
            missing or given in vain.
    """
    if not any((recipe, overrides, local, *chosen.values())):
        for name, value in (("scoring", scoring), ("output-dir", output_dir)):
            if value is not None:
                raise InputError(f"score: --{name} is for a model that applies rules; give --model")
        return None
    teacher = choose_teacher(recipe, overrides, local=local, prompts=False, chosen=chosen)
    if isinstance(teacher, Teacher):
        raise InputError("teacher.name: an oracle applies no rules; give --model")
    if scoring not in (None, "auto", "model"):
        raise InputError(f"score: --scoring {scoring}: no way to score; give model or auto")
    if output_dir is None:
        raise InputError("score: --output-dir: missing; a model's answers are kept there")
    if teacher.temperature is None:
        raise InputError("teacher.temperature: null, and rules are applied at one; give a number")
    return {
        "teacher": teacher,
        "output_dir": output_dir,
        "scoring": scoring or "model",
        "temperature": teacher.temperature,
    }


def _section(recipe: Path | None) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """What a file says of its teacher, whose methods all have the same, and where it says it."""
    if recipe is None:
        return {}, {}
    document, places = read(recipe)
    if isinstance(document, list):
        document = document[0]
        places = {keys[1:]: place for keys, place in places.items() if keys[0] == "0"}
    section = document.get("teacher") or {}
    if not isinstance(section, dict):
        raise InputError(f"{place_of(('teacher',), places)}teacher: no mapping of keys; mend it")
    return section, places
