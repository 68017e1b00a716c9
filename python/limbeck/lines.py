"""JSON lines, one object a line, read with the place of whatever is wrong in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limbeck.errors import InputError

__all__ = ["Number", "records", "text"]


class Number(str):
    """A JSON number as written: an answer may be one, a question may not."""


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a file with the number of its line; blank lines and a BOM are skipped.

    Raises:
        InputError: A line is no UTF-8, no JSON, or no object.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.isspace():
                whole = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                yield number, _parse(whole, f"{path}:{number}")


def _parse(line: bytes, place: str) -> dict[str, Any]:
    remedy = "write one JSON object a line"
    try:
        record = json.loads(line.decode(), parse_int=Number, parse_float=Number)
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 ({error.reason}); convert the file") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: column {error.colno}: {error.msg}; {remedy}") from error
    if not isinstance(record, dict):
        raise InputError(f"{place}: not an object; {remedy}")
    return record


def text(
    record: dict[str, Any],
    field: str,
    place: str,
    *,
    default: str | None = None,
    number: bool = False,
) -> str:
    """Return a field's trimmed text; a missing one has the default, if there is one.

    Args:
        record: An object of `records`.
        field: Its key.
        place: `file:line`, for the error.
        default: What a field that is missing or null stands for; None refuses it.
        number: Whether a number will do.

    Raises:
        InputError: The field is missing, of another type, blank, or no text.
    """
    value = record.get(field)
    if value is None and default is not None:
        return default
    wanted = "a string or a number" if number else "a string"
    if value is None:
        raise InputError(f"{place}: {field}: missing; give {wanted}")
    if not isinstance(value, str) or (isinstance(value, Number) and not number):
        raise InputError(f"{place}: {field}: wrong type; give {wanted}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"{place}: {field}: a lone surrogate is no text; remove the escape")
    text = str(value).strip()
    if not text:
        raise InputError(f"{place}: {field}: empty; give {wanted}")
    return text
