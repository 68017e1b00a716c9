"""How a student is asked, as a section of a recipe: straight away, or by a search for rules."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from limbeck.section import Section

__all__ = ["Inference", "InferenceChange", "Scoring"]

Scoring = Literal["auto", "exact", "model"]
"""Who says what a rule gives: an executor where it can read the rule, it alone, or the model."""


class Inference(Section):
    """How the student comes to an answer.

    Attributes:
        mode: `direct`: it writes the answer, as its template says. `search` (induction tasks): it
            writes rules for the demonstrations, and the one that satisfies most answers.
        hypotheses: Rules drawn of a task.
        temperature: Of rules.
        scoring: `auto` runs a rule that can be read and has the model apply any other; `exact` runs
            rules, and what cannot be read is none; `model` has the model apply all of them.
        apply_temperature: Of what the model says that a rule gives.
    """

    mode: Literal["direct", "search"] = "direct"
    hypotheses: int = Field(10, ge=1)
    temperature: float = Field(0.9, ge=0.0)
    scoring: Scoring = "auto"
    apply_temperature: float = Field(0.7, ge=0.0)

    @model_validator(mode="after")
    def _rules_differ(self) -> Inference:
        if self.hypotheses > 1 and self.temperature == 0:
            raise ValueError(
                "hypotheses: several rules repeat one greedy rule; set `temperature`, or 1 rule"
            )
        return self


class InferenceChange(Section):
    """What of an `Inference` is to be another than is stored with a student; the rest stays.

    Attributes:
        mode: In place of the stored one, as are the others.
        hypotheses: Rules drawn of a task.
        temperature: Of rules.
        scoring: Who says what a rule gives.
        apply_temperature: Of what the model says that a rule gives.
    """

    mode: Literal["direct", "search"] | None = None
    hypotheses: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0.0)
    scoring: Scoring | None = None
    apply_temperature: float | None = Field(None, ge=0.0)

    def of(self, stored: Inference) -> Inference:
        """Change what is stored.

        Args:
            stored: How the student is asked by default.

        Raises:
            InputError: What comes of it does not go together.

        Example:
            >>> InferenceChange(scoring="exact").of(Inference(mode="search")).mode
            'search'
        """
        from limbeck.config import RecipeError, check
        from limbeck.errors import InputError

        change = self.model_dump(exclude_none=True)
        try:
            return check(Inference, {**stored.model_dump(), **change})
        except RecipeError as error:
            raise InputError(f"evaluate.inference.{error}") from None

    @property
    def is_of_search(self) -> bool:
        """Whether it changes what only a search makes use of."""
        return bool(self.model_dump(exclude_none=True, exclude={"mode"}))
