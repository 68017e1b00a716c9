"""A recipe with phases is one recipe after the other, each from the student of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.config import Recipe, RecipeError, check
from limbeck.recipes.base import merge

__all__ = ["phase_recipes"]

OWN_DATA = ("paths", "rules", "validation")


def phase_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each phase by its name, in their order; none where a recipe has no phases.

    Raises:
        RecipeError: A phase has a key that is unknown, or a value out of range.

    Example:
        >>> from limbeck.recipes import answer_only
        >>> phases = {"warm": {"train": {"max_steps": 10}}, "long": {"train": {"seed": 1}}}
        >>> recipe = answer_only(student="gpt2", data={"tasks": ["coin_flip"]}, phases=phases)
        >>> [each.train.arguments for each in phase_recipes(recipe).values()]
        [{'max_steps': 10}, {'seed': 1}]
    """
    shared = recipe.model_dump(mode="json", exclude={"phases"})
    found = {}
    for name, phase in recipe.phases.items():
        if phase is None:
            continue
        changes = phase.model_dump(mode="json", exclude_defaults=True)
        for key in changes.get("data", {}):
            if key not in OWN_DATA:
                fault = f"the same for all phases; a phase has its own {', '.join(OWN_DATA)}"
                raise RecipeError(("phases", name, "data", key), fault)
        below = {**shared, "data": _elsewhere(shared["data"], changes.get("data", {}))}
        try:
            found[name] = check(Recipe, merge(below, changes))
        except RecipeError as error:
            text = str(error).removeprefix(".".join(error.path)).removeprefix(": ")
            raise RecipeError(("phases", name, *error.path), text) from None
    return found


def _elsewhere(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The data without the source that a phase's own takes the place of."""
    dropped = ("tasks", "rules") if "paths" in changes else ()
    return {key: value for key, value in data.items() if key not in dropped}
