"""Methods: each is a function that returns a complete recipe."""

from __future__ import annotations

from collections.abc import Callable

from limbeck.config import Recipe
from limbeck.recipes.adaptive import adaptive
from limbeck.recipes.answer_only import answer_only
from limbeck.recipes.prada import prada
from limbeck.recipes.pst import pst
from limbeck.recipes.redis import redis
from limbeck.recipes.step_by_step import step_by_step
from limbeck.recipes.think_first import think_first

__all__ = [
    "METHODS",
    "adaptive",
    "answer_only",
    "prada",
    "pst",
    "redis",
    "step_by_step",
    "think_first",
]

METHODS: dict[str, Callable[..., Recipe]] = {
    method.__name__: method
    for method in (answer_only, think_first, step_by_step, pst, adaptive, prada, redis)
}
