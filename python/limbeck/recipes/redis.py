"""ReDis (arXiv 2504.10647): rules are learnt, preferred, and searched at inference."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete


def redis(**overrides: Any) -> Recipe:
    """The student learns to write and to apply rules, then which it should prefer.

    Phase `sft`: every rule that was proposed for a training task, asked for by its demonstrations,
    and what preferred rules give for them. Phase `orpo`, from the same adapter: pairs of a rule and
    another that satisfies fewer demonstrations. The student answers by hypothesis search.

    Filter, learning rates, epochs, schedule, warm-up, accumulation, lengths and λ are the paper's;
    rank 8 is derived from its counts. The prompts, one example a row, and rules as text that can
    be run are our reading. Arms of the method are settings of it: `phases: {orpo: null}` is SFT
    alone, `rules.only_correct` and `rules.least_score` filter more than the paper does.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import redis
        >>> from limbeck.recipes.phases import phase_recipes
        >>> recipe = redis(student="gpt2", data={"tasks": ["miniscan"]}, phases={"orpo": None})
        >>> [each.data.rules for each in phase_recipes(recipe).values()]
        [('generation', 'application')]
    """
    return complete(
        "redis",
        {
            "prepare": {"template": "answer-only", "max_length": 2048, "packing": "none"},
            "train": {
                "objectives": [
                    {"name": "cross_entropy", "span_weights": {"answer": 1.0, "end": 1.0}}
                ],
                "use_peft": True,
                "lora_r": 8,
                "lora_alpha": 16,
                "per_device_train_batch_size": 1,
                "gradient_accumulation_steps": 8,
                "lr_scheduler_type": "cosine",
                "warmup_steps": 0.1,
            },
            "phases": {
                "sft": {
                    "data": {"rules": ["generation", "application"]},
                    "train": {"learning_rate": 1e-4, "num_train_epochs": 4},
                },
                "orpo": {
                    "data": {"rules": ["pairs"]},
                    "prepare": {"pairs": True},
                    "train": {
                        "objectives": [{"name": "orpo", "strength": 0.1}],
                        "learning_rate": 5e-6,
                        "num_train_epochs": 5,
                    },
                },
            },
            "inference": {"mode": "search", "hypotheses": 10, "temperature": 0.9},
        },
        overrides,
    )
