"""What prepared tokens and examples are of, and what each counts in training."""

KINDS = ("prompt", "question", "answer", "rationale", "semantic", "soft_prompt", "end", "gate")
"""Names of the span kinds; the position is the code stored in `span_kinds`."""

PROMPT_KINDS = ("prompt", "question", "soft_prompt")
"""The kinds of what comes before all that the student writes."""

DEFAULT_SPAN_WEIGHTS = {"gate": 1.0, "answer": 1.0, "semantic": 1.0, "end": 1.0, "rationale": 0.5}
"""Cross-entropy's weights where a recipe gives none; a kind that is not named is not trained."""

ROLES = ("single", "chosen", "rejected")
"""The sides of a pair; the position is the code stored in `example_roles`. The two of a pair stand
one after the other, in one row, under one example id."""
