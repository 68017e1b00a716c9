"""Where the rules of induction tasks come from, as a section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from limbeck.induction.task import Kind
from limbeck.inference import Scoring
from limbeck.section import Section

__all__ = ["Rules"]


class Rules(Section):
    """Rules proposed for the training tasks, and which of them are trained on.

    Attributes:
        hypotheses: A file of rules that were proposed (docs/induction.md). Without one a teacher
            that is a model is asked for rules, and the oracle of generated tasks gives the true
            rule and wrong ones.
        wrong: Wrong rules of a task, where the oracle gives them.
        scoring: Who says what a rule gives: an executor (`exact`), the teacher (`model`), or the
            teacher what no executor can read (`auto`).
        least_score: Share of the demonstrations that a rule must satisfy to be an example of
            generating one; the paper takes every rule.
        unique: Where a text counts once: among the rules of `all` tasks, as the paper has it, or of
            each `task`. Programs are short and many tasks have the same one; in other tasks it is
            asked for by other demonstrations.
        limits: Tokens of a rule at most, by kind of task, as the student's tokenizer counts them;
            longer ones are left out, and `counts.json` has their share.
        only_correct: Only applications that give what the demonstration shows; the paper takes all.
    """

    hypotheses: str | None = None
    wrong: int = Field(9, ge=1)
    scoring: Scoring = "exact"
    least_score: float = Field(0.0, ge=0.0, le=1.0)
    unique: Literal["all", "task"] = "all"
    limits: dict[Kind, PositiveInt] = Field({})
    only_correct: bool = False
