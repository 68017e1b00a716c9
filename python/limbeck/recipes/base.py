"""A method's defaults and a user's overrides become one complete recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.config import Recipe, RecipeError, check


def merge(
    below: Mapping[str, Any], above: Mapping[str, Any], place: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`below` with the keys of `above` on top, section by section.

    A list is replaced whole by a list; a mapping changes those of its elements that it numbers.

    Args:
        below: A recipe's keys, or a section's.
        above: Those that change.
        place: The keys above both, for the error.

    Raises:
        RecipeError: A list has no element of that number.

    Example:
        >>> merge({"train": {"seed": 0, "bf16": True}}, {"train": {"seed": 1}})
        {'train': {'seed': 1, 'bf16': True}}
        >>> merge({"filters": [{"name": "a"}, {"name": "b"}]}, {"filters": {1: {"share": 2}}})
        {'filters': [{'name': 'a'}, {'name': 'b', 'share': 2}]}
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            merged[key] = merge(under, value, (*place, key))
        elif isinstance(value, Mapping) and isinstance(under, list | tuple) and _numbers(value):
            merged[key] = _merge_elements(under, value, (*place, key))
        else:
            merged[key] = value
    return merged


def _numbers(keys: Mapping[Any, Any]) -> bool:
    return bool(keys) and all(str(key).isdecimal() for key in keys)


def _merge_elements(
    below: Sequence[Any], above: Mapping[Any, Any], place: tuple[str, ...]
) -> list[Any]:
    merged = list(below)
    for number, value in above.items():
        if int(number) >= len(merged):
            fault = f"no such element; there are {len(merged)}, from 0"
            raise RecipeError((*place, str(number)), fault)
        one = {str(number): merged[int(number)]}
        merged[int(number)] = merge(one, {str(number): value}, place)[str(number)]
    return merged


def complete(method: str, defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> Recipe:
    """The recipe of `method` with its `defaults` under the user's `overrides`.

    Args:
        method: The method's name.
        defaults: What the method needs.
        overrides: What the user wants otherwise.

    Raises:
        RecipeError: A key is unknown or a value is out of range.
    """
    from limbeck.recipes.phases import phase_recipes

    recipe = check(Recipe, {"method": method, **merge(defaults, overrides)})
    phase_recipes(recipe)  # a fault in a phase is better found now
    return recipe
