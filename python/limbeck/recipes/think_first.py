"""Think-first: fine-tuning on rationale, then answer (Fine-tune-CoT, arXiv 2212.10071)."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete


def think_first(**overrides: Any) -> Recipe:
    """The student learns to write the rationale and to conclude from it.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import think_first
        >>> think_first(student="gpt2", data={"paths": ["records.jsonl"]}).prepare.template
        'think-first'
    """
    return complete(
        "think_first",
        {
            "prepare": {"template": "think-first"},
            "train": {
                "objectives": [
                    {
                        "name": "cross_entropy",
                        "span_weights": {"rationale": 1.0, "answer": 1.0, "end": 1.0},
                    }
                ]
            },
        },
        overrides,
    )
