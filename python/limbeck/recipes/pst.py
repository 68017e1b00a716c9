"""PST, Post-Semantic-Thinking (arXiv 2404.09170): answer first, meaning aligned."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete


def pst(**overrides: Any) -> Recipe:
    """The student answers, then `<|sem|>`, whose state is drawn to that of the gold rationale.

    Mixed mode (default) also trains the rationale's tokens after it, with half the weight. Pure
    mode is `prepare={"template": "answer-first-pure"}`: the rationale reaches the student through
    `<|sem|>` alone. Weights and distance are our reading of the paper, which does not state them.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import pst
        >>> recipe = pst(student="gpt2", data={"paths": ["records.jsonl"]})
        >>> [term["name"] for term in recipe.train.objectives]
        ['cross_entropy', 'semantic_alignment']
    """
    return complete(
        "pst",
        {
            "prepare": {"template": "answer-first"},
            "train": {"objectives": objectives()},
        },
        overrides,
    )


def objectives(**more: float) -> list[dict[str, Any]]:
    """PST's terms; `more` are weights of further span kinds."""
    # `<|sem|>` is trained like the answer, or it would never be emitted.
    weights = {"answer": 1.0, "semantic": 1.0, "end": 1.0, "rationale": 0.5}
    return [
        {"name": "cross_entropy", "span_weights": {**more, **weights}},
        {"name": "semantic_alignment", "weight": 1.0, "metric": "cosine"},
    ]
