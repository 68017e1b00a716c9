"""The kinds of span that a prepared token belongs to, by code."""

KINDS = ("prompt", "question", "answer", "rationale", "semantic", "soft_prompt", "end")
"""Names of the span kinds; the position is the code stored in `span_kinds`."""
