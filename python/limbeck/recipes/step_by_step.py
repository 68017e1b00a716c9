"""Distilling step-by-step (arXiv 2305.02301): answer and rationale as two tasks of one student."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete


def step_by_step(**overrides: Any) -> Recipe:
    """The student answers after the prefix `[label]`, and explains after `[rationale]`.

    Each record makes an example of either task; the loss is α·L_label + (1 − α)·L_rationale, each
    the mean over its own tokens, with α = 0.5. Another α is the `weight` of both objectives. At
    inference the prefix is `[label]`, so no rationale is generated.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import step_by_step
        >>> recipe = step_by_step(student="gpt2", data={"paths": ["records.jsonl"]})
        >>> [(term["label"], term["weight"]) for term in recipe.train.objectives]
        [('label', 0.5), ('rationale', 0.5)]
    """
    return complete(
        "step_by_step",
        {
            "prepare": {"template": ["prefix-label", "prefix-rationale"]},
            "train": {
                "objectives": [
                    {
                        "name": "cross_entropy",
                        "label": "label",
                        "template": 0,
                        "weight": 0.5,
                        "span_weights": {"answer": 1.0, "end": 1.0},
                    },
                    {
                        "name": "cross_entropy",
                        "label": "rationale",
                        "template": 1,
                        "weight": 0.5,
                        "span_weights": {"rationale": 1.0, "end": 1.0},
                    },
                ]
            },
        },
        overrides,
    )
