"""The questions to evaluate on: made by a generated task, or read from record files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.tasks.base import Question, seeded
from limbeck.tasks.registry import NAMES, get

__all__ = ["load"]

_QUESTIONS_MADE = 200


class _Number(str):
    """A JSON number as written: an answer may be one, a question may not."""


def load(
    name_or_path: str, *, split: str = "test", limit: int | None = None, seed: int = 0
) -> list[Question]:
    """Return questions with their gold answers.

    Args:
        name_or_path: A generated task (see `registry.get`) or a record file in JSON lines. A
            record's `domain` names its task; without one, the file's name does. Records that share
            question and answer count once, whatever their number of rationales.
        split: Takes the records of this split and those that name none.
        limit: Questions per task; a file with more is sampled. None: all of a file, 200 of a
            generated task.
        seed: Draws the questions.

    Raises:
        InputError: An unknown task, a malformed record, or no record of the split.
    """
    if limit is not None and limit < 1:
        raise InputError(f"evaluate.questions: {limit} is too few; give 1 or more, or leave it out")
    path = Path(name_or_path)
    if name_or_path.partition(":")[0] in NAMES and not path.is_file():
        count = _QUESTIONS_MADE if limit is None else limit
        return list(get(name_or_path).questions(count, seed=seed, split=split))
    if not path.is_file():
        raise InputError(
            f"tasks: {name_or_path!r} is neither a file nor a generated task; "
            f"known are {', '.join(NAMES)}"
        )
    tasks: dict[str, dict[tuple[str, str], Question]] = {}
    for question in _read(path, split):
        task = tasks.setdefault(question.task, {})
        task.setdefault((question.question, question.answer), question)
    if not tasks:
        raise InputError(f"{path}: no record of split {split!r}; give a file that has some")
    chosen: list[Question] = []
    for name, task in tasks.items():
        questions = list(task.values())
        if limit is not None and limit < len(questions):
            kept = seeded(f"{name}/{seed}").sample(range(len(questions)), limit)
            questions = [questions[index] for index in sorted(kept)]
        chosen += questions
    return chosen


def _read(path: Path, split: str) -> Iterator[Question]:
    """Yield the questions of a record file that belong to a split."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            place = f"{path}:{number}"
            record = _parse(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, place)
            if _text(record, "split", place, default=split) != split:
                continue
            yield Question(
                task=_text(record, "domain", place, default=path.stem),
                id=_text(record, "id", place, default=str(number), number=True),
                question=_text(record, "question", place),
                answer=_text(record, "answer", place, number=True),
            )


def _parse(line: bytes, place: str) -> dict[str, Any]:
    remedy = "write one JSON object a line"
    try:
        record = json.loads(line.decode(), parse_int=_Number, parse_float=_Number)
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 ({error.reason}); convert the file") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: column {error.colno}: {error.msg}; {remedy}") from error
    if not isinstance(record, dict):
        raise InputError(f"{place}: not an object; {remedy}")
    return record


def _text(
    record: dict[str, Any],
    field: str,
    place: str,
    *,
    default: str | None = None,
    number: bool = False,
) -> str:
    """Return a field's trimmed text; a missing one has the default, if there is one."""
    value = record.get(field)
    if value is None and default is not None:
        return default
    wanted = "a string or a number" if number else "a string"
    if value is None:
        raise InputError(f"{place}: {field}: missing; give {wanted}")
    if not isinstance(value, str) or (isinstance(value, _Number) and not number):
        raise InputError(f"{place}: {field}: wrong type; give {wanted}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"{place}: {field}: a lone surrogate is no text; remove the escape")
    text = str(value).strip()
    if not text:
        raise InputError(f"{place}: {field}: empty; give {wanted}")
    return text
