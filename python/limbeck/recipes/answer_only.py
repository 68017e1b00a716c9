"""Answer-only: fine-tuning on question and answer, the baseline without any reasoning."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete


def answer_only(**overrides: Any) -> Recipe:
    """The student learns to answer at once and never sees a rationale.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import answer_only
        >>> answer_only(student="gpt2", data={"paths": ["records.jsonl"]}).prepare.template
        'answer-only'
    """
    return complete(
        "answer_only",
        {
            "prepare": {"template": "answer-only"},
            "train": {
                "objectives": [
                    {"name": "cross_entropy", "span_weights": {"answer": 1.0, "end": 1.0}}
                ]
            },
        },
        overrides,
    )
