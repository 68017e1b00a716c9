"""The filters a recipe may name, each with its options and their defaults.

An entry of `prepare.filters` is a bare name or a mapping of `name` and options. The core looks for
reasons in the order of the list, except that `answer_mismatch` and `exact_duplicate` come first.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from limbeck.section import Section

__all__ = ["NAMES", "AnswerMismatch", "ExactDuplicate", "Filter"]


class AnswerMismatch(Section):
    """The rationale concludes something other than the answer."""

    name: Literal["answer_mismatch"] = "answer_mismatch"


class ExactDuplicate(Section):
    """An earlier candidate has the same fields."""

    name: Literal["exact_duplicate"] = "exact_duplicate"


def _with_name(entry: Any) -> Any:
    return {"name": entry} if isinstance(entry, str) else entry


SECTIONS: dict[str, type[Section]] = {
    section.model_fields["name"].default: section for section in (AnswerMismatch, ExactDuplicate)
}
"""The section of each filter by its name."""

NAMES = tuple(SECTIONS)

Filter = Annotated[
    AnswerMismatch | ExactDuplicate,
    Field(discriminator="name"),
    BeforeValidator(_with_name),
]
"""One entry of `prepare.filters`."""
