"""Which weight the trainer gives to each span kind of a prepared directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from limbeck.config import Recipe
from limbeck.errors import InputError
from limbeck.spans import DEFAULT_SPAN_WEIGHTS, KINDS


def weights_of(
    prepared: Path, given: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None
) -> tuple[Sequence[dict[str, float]], str]:
    """Weight by span kind, for each template or one for all, and where it was found.

    Args:
        prepared: A prepared directory; the recipe of the run that it stands in is looked up.
        given: Weights that are known already, for all templates or for each.

    Raises:
        InputError: A span kind is unknown, or the run's recipe cannot be read.
    """
    if given is not None:
        each = [given] if isinstance(given, Mapping) else given
        return [_checked(weights, "span_weights") for weights in each], "as given"
    recipe, path = _recipe(prepared.absolute())
    if recipe is None:
        return [dict(DEFAULT_SPAN_WEIGHTS)], "the defaults of cross_entropy"
    return recipe_weights(recipe), f"{recipe.method} in {path.name}"


def _recipe(prepared: Path) -> tuple[Recipe | None, Path]:
    from limbeck.recipes.load import load

    run, above = prepared.parent, prepared.parent.parent
    if (run / "recipe.yaml").is_file():
        path = run / "recipe.yaml"
        recipes = load(path)
        return (recipes[0] if len(recipes) == 1 else None), path
    path = above / "recipe.yaml"
    if path.is_file():  # a run of several methods has a directory for each
        named = {each.method: each for each in load(path)}
        return named.get(run.name), path
    return None, path


def recipe_weights(recipe: Recipe) -> list[dict[str, float]]:
    """Weight by span kind of the cross-entropy that a recipe trains, for each of its templates."""
    return [_of_template(recipe, number) for number in range(len(recipe.prepare.templates))]


def _of_template(recipe: Recipe, number: int) -> dict[str, float]:
    total: dict[str, float] = {}
    for term in recipe.train.objectives:
        if term["name"] == "cross_entropy" and term.get("template") in (None, number):
            weights = _checked(
                term.get("span_weights", DEFAULT_SPAN_WEIGHTS), "train.objectives: span_weights"
            )
            for kind, weight in weights.items():
                total[kind] = total.get(kind, 0.0) + term.get("weight", 1.0) * weight
    return total


def _checked(weights: Mapping[str, float], place: str) -> dict[str, float]:
    unknown = sorted(set(weights) - set(KINDS))
    if unknown:
        raise InputError(f"{place}: no span kind {unknown[0]!r}; use {', '.join(KINDS)}")
    return dict(weights)
