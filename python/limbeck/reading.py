"""What a student wrote, read: which way it took, where its answer ends, and what it answers.

Everything that turns generated ids into an answer is here; `generate` only makes the ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ORDERS", "Reader", "Reading"]

ORDERS = ("answer-first", "think-first", "answer-only")


@dataclass(frozen=True)
class Reading:
    """What was read of one generation.

    Attributes:
        way: The order it was written in: one of `ORDERS`.
        text: All of it, without the token that ended it.
        answer: The answer in it without the space around it; None where there is none, or where
            the text was cut off before the answer's end.
    """

    way: str
    text: str
    answer: str | None


class Reader:
    """Reads what a student writes by the template that it was taught with.

    Args:
        card: The student's `limbeck.json`.
        tokenizer: The student's.
        stop_ids: Token ids that end an answer.

    Attributes:
        stop_ids: As given.
        stop_string: Text that ends an answer-first answer; None where a token does.
    """

    def __init__(
        self, card: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int]
    ) -> None:
        self.order: str = card["inference"]["order"]
        self.stop_ids = list(stop_ids)
        self._tokenizer: Any = tokenizer
        before, _, after = card["render"]["template"]["completion"].partition("{answer}")
        # Literals that stand around the answer.
        self._lead, self._tail = before.rpartition("}")[2], after.partition("{")[0]
        ended_by_text = self.order == "answer-first" and after.startswith(
            self._tail + "{rationale}"
        )
        self.stop_string = self._tail if ended_by_text else None

    def until_stop(self, ids: Sequence[int]) -> list[int]:
        """Cut what a batch's other rows made longer: all after the token that ends the answer."""
        for place, token in enumerate(ids):
            if token in self.stop_ids:
                return list(ids[: place + 1])
            if self.stop_string and self.stop_string in self.decode(ids[: place + 1]):
                return list(ids[: place + 1])
        return list(ids)

    def read(self, ids: Sequence[int]) -> Reading:
        """Read one generation.

        Args:
            ids: What the student wrote after its prompt, the token that ended it included.
        """
        ended = bool(ids) and ids[-1] in self.stop_ids
        text = self.decode(ids[:-1] if ended else ids)
        ended = ended or bool(self.stop_string and self.stop_string in text)
        return Reading(self.order, text, self._answer(text, ended))

    def decode(self, ids: Sequence[int]) -> str:
        """Return ids as text, special tokens too: one where none belongs should be seen."""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def _answer(self, text: str, ended: bool) -> str | None:
        from limbeck._native import conclusion

        if self.order == "think-first":
            concluded = conclusion(text)
            if concluded is not None or not ended or not self._lead.strip():
                return concluded
            # A template may conclude in words of its own.
            _, found, text = text.rpartition(self._lead)
            ended = bool(found)
        if not ended:
            return None
        text = text.partition(self.stop_string)[0] if self.stop_string else text
        text = text.strip().removeprefix(self._lead.strip()).removesuffix(self._tail.strip())
        return text.strip() or None
