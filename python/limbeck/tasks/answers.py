"""What a student's words come to, by the kind of answer that a task has.

Equality of answers is the filter's, everywhere; a kind only says where in a longer text the answer
is. Where it finds none the text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

__all__ = ["Kind", "list_options", "parse"]

Kind = Literal["any", "number", "option", "date", "yes_no", "letters"]

_LISTED = " Answer Choices: "
_NUMBER = re.compile(r"[-−]?[$£€]?\d[\d,]*(?:\.\d+)?(?:\s+\d+\s*/\s*\d+|\s*/\s*\d+)?%?")
_LETTER = re.compile(r"(?:(?:option|choice|answer)\s+)?[(\[]?([A-Z])(?:[)\].:,](?=\s|$)|$)", re.I)
_OPTION = re.compile(r"\(([A-Z])\) (.*?)(?= \([A-Z]\) |$)", re.DOTALL)
_MARKED = re.compile(r"\(([A-Z])\)")
_YES_NO = re.compile(r"\b(yes|no)\b", re.I)
_DATES = ("%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y")


def list_options(question: str, options: Sequence[str]) -> str:
    """Return a question with its options behind it, lettered from A.

    Example:
        >>> list_options("Where is ink?", ["pen", "sea"])
        'Where is ink? Answer Choices: (A) pen (B) sea'
    """
    listed = " ".join(f"({chr(ord('A') + n)}) {text}" for n, text in enumerate(options))
    return f"{question.strip()}{_LISTED}{listed}"


def parse(kind: Kind, answer: str, question: str) -> str:
    """Return the answer in a text.

    Args:
        kind: `number`: the last number; `option`: the letter of an option, which may be named by
            its text; `date`: the letter of an option that is a date, however that is written;
            `yes_no`: the first of these words; `letters`: all letters, run together; `any`: the
            text itself.
        answer: What the student answered.
        question: The question, which lists the options.

    Example:
        >>> parse("number", "3 * 24 = 72 cars", "How many?")
        '72'
        >>> parse("option", "a pen", "Where is ink? Answer Choices: (A) sea (B) a pen")
        'B'
    """
    text = answer.strip()
    if kind == "number":
        numbers = _NUMBER.findall(text)
        return numbers[-1] if numbers else answer
    if kind in ("option", "date"):
        return _option(text, question, dated=kind == "date") or answer
    if kind == "yes_no":
        found = _YES_NO.search(text)
        return found[1].lower() if found else answer
    if kind == "letters":
        return "".join(filter(str.isalpha, text)) or answer
    return answer


def _option(text: str, question: str, *, dated: bool) -> str | None:
    from limbeck._native import answers_equal

    options = dict(_OPTION.findall(question.rpartition(_LISTED)[2]))
    if (found := _LETTER.match(text)) and found[1].upper() in options:
        return found[1].upper()
    for letter, option in options.items():
        if answers_equal(option, text) or (dated and _same_date(option, text)):
            return str(letter)
    marked = set(_MARKED.findall(text)) & options.keys()
    return marked.pop() if len(marked) == 1 else None


def _same_date(one: str, other: str) -> bool:
    read = _date(one)
    return read is not None and read == _date(other)


def _date(text: str) -> date | None:
    for form in _DATES:
        try:
            return datetime.strptime(text.strip(" ."), form).date()
        except ValueError:
            continue
    return None
