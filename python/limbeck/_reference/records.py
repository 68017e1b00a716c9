"""Lines of JSON to records; twin of `read/json.rs`, `read/lines.rs` and `record.rs`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

FIELDS = (
    "split",
    "id",
    "question",
    "answer",
    "rationale",
    "domain",
    "teacher_answer",
    "way",
    "rejected_answer",
    "rejected_rationale",
)
"""The fields that are read, in the order in which they are checked."""
QUESTION_FIELDS = ("split", "id", "question", "domain")
"""Those that are read of an unlabelled source."""


class Number(str):
    """A JSON number, as it was written."""


class FaultError(Exception):
    """Why a record is malformed."""

    def __init__(self, field: str, problem: str, record_id: str | None = None) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.record_id = record_id


@dataclass(frozen=True)
class Line:
    """A line that is not blank, and where it stands."""

    number: int
    byte_offset: int
    content: bytes


@dataclass(frozen=True)
class Record:
    """A record whose fields have the right types.

    `rationales` holds a text or a fault for each candidate; None stands for no rationale. Only an
    unlabelled source has no `answer`. `rejected` holds answer and rationale of the other side of a
    pair, a text, a fault or None each.
    """

    id: str | None
    question: str
    answer: str | None
    rationales: list[str | FaultError | None] = field(default_factory=list)
    domain: str | None = None
    teacher_answer: str | None = None
    way: str | None = None
    rejected: tuple[str | FaultError | None, str | FaultError | None] = (None, None)


def unlisted(content: bytes) -> bytes:
    """The records of a list `[{…}, {…}]` as lines, each byte in its place; twin of `read/list.rs`.

    Raises:
        ValueError: The list does not end.
    """
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return content
    turned, depth, in_string, is_escaped = bytearray(content), 0, False, False
    for place, byte in enumerate(content):
        character = chr(byte)
        if in_string:
            in_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth == 1:
                turned[place] = ord(" ")
        elif character in "]}":
            depth -= 1
            if depth == 0:
                turned[place] = ord(" ")
                return bytes(turned)
        elif character == "," and depth == 1:
            turned[place] = ord("\n")
        elif character in "\r\n" and depth:
            turned[place] = ord(" ")
    raise ValueError("a list of records that does not end")


def lines(content: bytes) -> Iterator[Line]:
    """The lines of a file; a byte order mark is skipped, blank lines are none."""
    byte_offset = 0
    for number, line in enumerate(unlisted(content).split(b"\n"), start=1):
        text = line.removeprefix(b"\xef\xbb\xbf") if byte_offset == 0 else line
        if text.strip(b" \t\r\n"):
            yield Line(number, byte_offset, text)
        byte_offset += len(line) + 1


def record(
    line: bytes, split: str, validation: float = 0.0, *, labelled: bool = True
) -> Record | None:
    """The record on a line, or None if it belongs to another split or is held out for validation.

    Raises:
        FaultError: The line is malformed.
    """
    values = _values(line)
    if not labelled:
        values = {name: values[name] for name in QUESTION_FIELDS if name in values}
    own = _text(values, "split", numbers=False)
    marked = labelled and own == "validation" != split
    if own is not None and own != split and not marked:
        return None
    record_id = _text(values, "id", numbers=True)
    try:
        found = Record(
            id=record_id,
            question=_required(values, "question", numbers=False),
            answer=_required(values, "answer", numbers=True) if labelled else None,
            rationales=_rationales(values),
            domain=_text(values, "domain", numbers=True),
            teacher_answer=_text(values, "teacher_answer", numbers=True),
            way=_text(values, "way", numbers=False),
            rejected=(_side(values, "rejected_answer"), _side(values, "rejected_rationale")),
        )
    except FaultError as fault:
        fault.record_id = record_id
        raise
    asks = found.question.strip() and (found.answer or "").strip()
    return None if asks and (marked or is_drawn(found.question, validation)) else found


def is_drawn(question: str, share: float) -> bool:
    """Whether a question is of the share that is held out; twin of `held_out.rs`."""
    head = hashlib.sha256(question.strip().encode()).digest()[:8]
    return int.from_bytes(head, "big") < share * 2**64


def _values(line: bytes) -> dict[str, Any]:
    try:
        pairs = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_Pairs,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise FaultError("line", str(error)) from None
    if not isinstance(pairs, _Pairs):
        raise FaultError("line", "not an object")
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in FIELDS and key in values:
            raise FaultError(key, "given twice")
        values[key] = value
    return values


class _Pairs(list[tuple[str, Any]]):
    """A JSON object before it is known whether a key stands twice."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _text(values: dict[str, Any], name: str, *, numbers: bool) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or (isinstance(value, Number) and not numbers):
        raise FaultError(name, f"{type(value).__name__} instead of text")
    return _unicode(name, value)


def _side(values: dict[str, Any], name: str) -> str | FaultError | None:
    """A field that is looked at later, if at all."""
    try:
        return _text(values, name, numbers=True)
    except FaultError as fault:
        return fault


def _required(values: dict[str, Any], name: str, *, numbers: bool) -> str:
    text = _text(values, name, numbers=numbers)
    if text is None:
        raise FaultError(name, "missing")
    return text


def _rationales(values: dict[str, Any]) -> list[str | FaultError | None]:
    value = values.get("rationale")
    if isinstance(value, list) and not isinstance(value, _Pairs):
        # A list with nothing in it is one candidate without a rationale, lest it vanish.
        return [_item(index, item) for index, item in enumerate(value)] or [""]
    return [_text(values, "rationale", numbers=False)]


def _item(index: int, value: Any) -> str | FaultError:
    name = f"rationale[{index}]"
    if not isinstance(value, str) or isinstance(value, Number):
        return FaultError(name, f"{type(value).__name__} instead of text")
    try:
        return _unicode(name, value)
    except FaultError as fault:
        return fault


def _unicode(name: str, text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise FaultError(name, "a lone surrogate is no Unicode text")
    return str(text)
