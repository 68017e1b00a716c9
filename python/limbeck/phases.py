"""A phase of training, as a section of a recipe: what it does otherwise than the recipe says."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from limbeck.section import Section

__all__ = ["Phase"]


class Phase(Section):
    """One training among several, which starts from the student of the one before.

    Attributes:
        data: Keys of the recipe's `data` that differ in it.
        prepare: Likewise of `prepare`.
        train: Likewise of `train`.
    """

    data: dict[str, Any] = Field({})
    prepare: dict[str, Any] = Field({})
    train: dict[str, Any] = Field({})
