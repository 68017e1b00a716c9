"""The questions of `limbeck generate`: from its arguments, a file, or standard input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import InputError
from limbeck.lines import records, text

__all__ = ["Asked", "read_questions"]

STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """A question, and what its file calls it."""

    question: str
    id: str | None = None


def read_questions(
    arguments: Sequence[str], file: Path | None, stdin: Iterable[str] | None
) -> Iterator[Asked]:
    """Yield the questions of one source, as they are read.

    Args:
        arguments: Questions; `-` alone, or none at all, reads standard input.
        file: `.jsonl`, objects with `question` and perhaps `id`; or any other text, a question a
            line.
        stdin: Standard input, a question a line; None where it is a terminal.

    Raises:
        InputError: There is no source or more than one, or a line of the file is malformed.
    """
    if file is not None and arguments:
        raise InputError("questions: given both as arguments and as --file; give one of them")
    if file is not None:
        if not file.is_file():
            raise InputError(f"{file}: no such file; check the path")
        return _of_file(file)
    if arguments and list(arguments) != [STDIN]:
        return iter([Asked(question) for question in arguments])
    if stdin is None and not arguments:
        raise InputError("questions: there are none; give some, --file, or pipe one a line")
    return _of_lines(stdin or ())


def _of_file(file: Path) -> Iterator[Asked]:
    if file.suffix != ".jsonl":
        try:
            with file.open(encoding="utf-8-sig") as lines:
                yield from _of_lines(lines)
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: not UTF-8 ({error.reason}); convert the file") from error
        return
    for number, record in records(file):
        place = f"{file}:{number}"
        name = text(record, "id", place, number=True) if record.get("id") is not None else None
        yield Asked(text(record, "question", place), name)


def _of_lines(lines: Iterable[str]) -> Iterator[Asked]:
    return (Asked(line.strip()) for line in lines if line.strip())
