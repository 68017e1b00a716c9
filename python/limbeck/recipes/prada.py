"""PRADA (arXiv 2501.09804): a soft prompt, and states that do not tell the domain."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete


def prada(**overrides: Any) -> Recipe:
    """The student thinks first, through a soft prompt, and unlearns which domain a question is of.

    Labelled source domains train its text; unlabelled questions of the target (`data.paths` with
    `labelled: false`, or `data.unlabelled_tasks`) stand in the same rows and reach only the domain
    classifier, whose gradient the student gets reversed. Of each question's right rationales the
    eight that differ most are kept.

    The energy is the paper's, `L_y − λ·(L_d over source + L_d over target)`, each term a mean: the
    objective is the mean of the last two, so its weight is 2. What is classified (the mean state
    of the question), λ and its schedule, and the soft prompt as rows of the vocabulary are our
    reading. Ablations are settings: `prepare.soft_prompt: 0` has no prompt, `strength: 0` no
    adversary (its classifier still learns and is logged), `control: permuted` an adversary of
    domains that mean nothing, and an oracle has the target among the labelled.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import prada
        >>> data = {"tasks": ["coin_flip"], "unlabelled_tasks": ["last_letters"]}
        >>> prompt_only = {"objectives": {1: {"strength": 0}}}
        >>> recipe = prada(student="gpt2", data=data, train=prompt_only)
        >>> recipe.prepare.soft_prompt, recipe.train.objectives[1]["strength"]
        (16, 0)
    """
    return complete(
        "prada",
        {
            "prepare": {
                "template": "think-first",
                "soft_prompt": 16,
                "packing": "domain_balanced",
                "filters": ["answer_mismatch", "exact_duplicate", "over_cap"],
            },
            "train": {
                "objectives": [
                    {
                        "name": "cross_entropy",
                        "span_weights": {"rationale": 1.0, "answer": 1.0, "end": 1.0},
                    },
                    {
                        "name": "domain_adversarial",
                        "weight": 2.0,
                        "strength": 0.1,
                        "schedule": "dann",
                        "learning_rate": 1e-3,
                    },
                ]
            },
        },
        overrides,
    )
