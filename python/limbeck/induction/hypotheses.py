"""Hypotheses as a teacher gave them: several rules, as text, for each task of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from limbeck.errors import InputError
from limbeck.induction.files import kind_of, read_tasks
from limbeck.induction.task import InductionTask, Kind
from limbeck.lines import records, text

__all__ = ["Hypotheses", "read_hypotheses", "task_files"]


class Hypotheses(NamedTuple):
    """The rules that were proposed for a task, in the order in which they came."""

    task: InductionTask
    rules: tuple[str, ...]


def task_files(directory: Path) -> dict[Kind, Path]:
    """Find the task files of a directory by their names (`acre.jsonl`, `1d_arc.jsonl`, …).

    Raises:
        InputError: There is none, or there are two of a kind.
    """
    found: dict[Kind, Path] = {}
    for path in sorted(directory.glob("*.jsonl")):
        try:
            kind = kind_of(path.stem, str(path))
        except InputError:
            continue  # another file beside them
        if kind in found:
            raise InputError(f"{path}: {found[kind].name} has the tasks of {kind}; remove one")
        found[kind] = path
    if not found:
        raise InputError(
            f"{directory}: holds no task file; name them acre.jsonl, miniscan.jsonl, …"
        )
    return found


def read_hypotheses(path: Path, tasks: Path) -> Iterator[Hypotheses]:
    """Yield the rules of each line of a file, with the task that they were proposed for.

    Args:
        path: JSON lines of `task` (its kind), `index` (its place in the task file, from 0) and
            `responses` (what the teacher wrote, each with a rule).
        tasks: Directory of the task files.

    Raises:
        InputError: A field is wrong, or there is no such task; with its place.
    """
    files = task_files(tasks)
    read: dict[Kind, list[InductionTask]] = {}
    for number, record in records(path):
        place = f"{path}:{number}"
        kind = kind_of(text(record, "task", place), f"{place}: task")
        if kind not in files:
            raise InputError(f"{place}: task: {tasks} has no file of {kind}; add it")
        if kind not in read:
            read[kind] = read_tasks(files[kind], kind=kind)
        yield Hypotheses(_found(record, read[kind], place), _responses(record, place))


def _found(record: dict[str, Any], tasks: list[InductionTask], place: str) -> InductionTask:
    index = text(record, "index", place, number=True)
    if not index.isdecimal() or int(index) >= len(tasks):
        raise InputError(f"{place}: index: {index} is no place among {len(tasks)} tasks, from 0")
    return tasks[int(index)]


def _responses(record: dict[str, Any], place: str) -> tuple[str, ...]:
    responses = record.get("responses")
    if not isinstance(responses, list) or not all(type(x) is str for x in responses):
        raise InputError(f"{place}: responses: give a list of strings")
    return tuple(responses)
