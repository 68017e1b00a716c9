"""Adaptive thinking (arXiv 2404.09170, later revisions): the student chooses its way by itself."""

from __future__ import annotations

from typing import Any

from limbeck.config import Recipe
from limbeck.recipes.base import complete
from limbeck.recipes.pst import objectives


def adaptive(**overrides: Any) -> Recipe:
    """The student writes a gate first, then answers at once or thinks first.

    The gate is the next token after the question, `<|answer_first|>` or `<|think_first|>`, so the
    student stays an ordinary checkpoint. Which one a training question has is found by
    cross-fitting (`route`): answer-first where a judge that did not train on it is right, else
    think-first. With `route.labels: records` the records name their `way` themselves. What an
    answer-first example says is PST's.

    The papers' perception module is a soft prompt: `prepare: {soft_prompt: 8}` has the gate read
    through one, and with `train: {use_peft: true, lora_target_modules: []}` through nothing else.
    It is not the default, since where all weights are trained, as they are by default, its rows add
    tokens to every example and nothing that the weights could not learn. Gate, label rule and folds
    are our reading.

    Args:
        **overrides: Sections and keys of the recipe that differ from the method's defaults.

    Raises:
        InputError: A key is unknown or a value is out of range.

    Example:
        >>> from limbeck.recipes import adaptive
        >>> recipe = adaptive(student="gpt2", data={"paths": ["records.jsonl"]}, route={"folds": 3})
        >>> recipe.prepare.template, recipe.route.folds
        (('gate-answer-first', 'gate-think-first'), 3)
    """
    return complete(
        "adaptive",
        {
            "prepare": {"template": ["gate-answer-first", "gate-think-first"]},
            "train": {"objectives": objectives(gate=1.0)},
        },
        overrides,
    )
