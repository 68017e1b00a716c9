"""A method's defaults and a user's overrides become one complete recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.config import Recipe, check


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the keys of `above` on top, section by section; lists are replaced whole.

    Example:
        >>> merge({"train": {"seed": 0, "bf16": True}}, {"train": {"seed": 1}})
        {'train': {'seed': 1, 'bf16': True}}
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        sections = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(under or {}, value) if sections else value
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
    return check(Recipe, {"method": method, **merge(defaults, overrides)})
