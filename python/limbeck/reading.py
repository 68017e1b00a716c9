"""What a student wrote, read: which way it took, where its answer ends, and what it answers.

Everything that turns generated ids into an answer is here; `generate` only makes the ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ORDERS", "Reader", "Reading", "read_text"]

ORDERS = ("answer-first", "think-first", "answer-only", "adaptive")
UNDECIDED = "undecided"
"""The way of an adaptive student that wrote no gate."""


@dataclass(frozen=True)
class Reading:
    """What was read of one generation.

    Attributes:
        way: The order it was written in: one of `ORDERS`, that of the gate where the student is
            adaptive, `undecided` where such a one wrote none.
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
        inference = card["inference"]
        self.order: str = inference["order"]
        self.stop_ids = list(stop_ids)
        self._tokenizer: Any = tokenizer
        self._gates = {
            tokenizer.convert_tokens_to_ids(token): _Way(**way)
            for token, way in inference.get("gates", {}).items()
        }
        self._way = _Way(self.order, card["render"]["template"]["completion"])
        self.stop_string = None if self._gates else self._way.stop_string

    def until_stop(self, ids: Sequence[int]) -> list[int]:
        """Cut what a batch's other rows made longer: all after the token that ends the answer."""
        for place, token in enumerate(ids):
            if token in self.stop_ids:
                return list(ids[: place + 1])
            stop_string = self._way_of(ids).stop_string
            if stop_string and stop_string in self.decode(ids[: place + 1]):
                return list(ids[: place + 1])
        return list(ids)

    def read(self, ids: Sequence[int]) -> Reading:
        """Read one generation.

        Args:
            ids: What the student wrote after its prompt, the token that ended it included.
        """
        ended = bool(ids) and ids[-1] in self.stop_ids
        written = ids[:-1] if ended else ids
        way = self._way_of(ids)
        # The gate says the way and is no part of what follows.
        content = self.decode(written[1:] if self._gates else written)
        return Reading(way.order, self.decode(written), way.answer(content, ended))

    def _way_of(self, ids: Sequence[int]) -> _Way:
        return self._gates.get(ids[0] if ids else -1, _NO_WAY) if self._gates else self._way

    def decode(self, ids: Sequence[int]) -> str:
        """Return ids as text, special tokens too: one where none belongs should be seen."""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def read_text(card: Mapping[str, Any], text: str) -> str | None:
    """Read the answer in a text that ended, of a student without gates.

    Args:
        card: The student's `limbeck.json`.
        text: What it wrote, as a server gives it.
    """
    completion = card["render"]["template"]["completion"]
    return _Way(card["inference"]["order"], completion).answer(text, ended=True)


class _Way:
    """How the answer stands in what follows one completion."""

    def __init__(self, order: str, completion: str) -> None:
        self.order = order
        before, _, after = completion.partition("{answer}")
        # Literals that stand around the answer.
        self._lead, self._tail = before.rpartition("}")[2], after.partition("{")[0]
        ended_by_text = order == "answer-first" and after.startswith(self._tail + "{rationale}")
        self.stop_string = self._tail if ended_by_text else None

    def answer(self, text: str, ended: bool) -> str | None:
        from limbeck._native import conclusion

        if self.order == UNDECIDED:
            return None
        ended = ended or bool(self.stop_string and self.stop_string in text)
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


_NO_WAY = _Way(UNDECIDED, "")
