"""Hypotheses as a teacher gave them: several rules, as text, for each task of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from limbeck.errors import InputError
from limbeck.induction.files import kind_of, read_tasks
from limbeck.induction.prompts import rule_prompt
from limbeck.induction.task import InductionTask, Kind
from limbeck.lines import records, text

__all__ = ["Hypotheses", "read_hypotheses", "task_files", "write_rule_prompts"]


class Hypotheses(NamedTuple):
    """The rules that were proposed for a task, in the order in which they came."""

    task: InductionTask
    rules: tuple[str, ...]


def write_rule_prompts(tasks: Iterable[InductionTask], path: Path) -> None:
    """Write a prompt for the rule of each task, as `limbeck teach --prompts` reads them."""
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for task in tasks:
            asked = {"id": f"{task.kind}/{task.id}", "prompt": rule_prompt(task)}
            lines.write(json.dumps(asked, ensure_ascii=False) + "\n")


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


def read_hypotheses(
    path: Path, tasks: Path | Mapping[Kind, Path], *, skip_others: bool = False
) -> Iterator[Hypotheses]:
    """Yield the rules that were proposed for a task, with the task.

    Args:
        path: JSON lines of `task` (its kind), `index` (its place in the task file, from 0) and
            `responses` (what the teacher wrote, each with a rule); or the samples of `limbeck teach
            --prompts`, of `id` (as `write_rule_prompts` gives it) and `text`, those of a task one
            after the other.
        tasks: Directory of the task files, or the file of each kind.
        skip_others: Pass over rules of kinds that have no task file, in place of an error.

    Raises:
        InputError: A field is wrong, or there is no such task; with its place.
    """
    known = _Known(tasks)
    for task, found in groupby(_proposed(path, known, skip_others), key=lambda each: each.task):
        yield Hypotheses(task, tuple(rule for each in found for rule in each.rules))


class _Known:
    """The tasks of some files, each read when it is first asked for."""

    def __init__(self, tasks: Path | Mapping[Kind, Path]) -> None:
        self.place = str(tasks) if isinstance(tasks, Path) else ", ".join(map(str, tasks.values()))
        self.files = task_files(tasks) if isinstance(tasks, Path) else dict(tasks)
        self.read: dict[Kind, dict[str, InductionTask]] = {}

    def of(self, name: str, place: str) -> dict[str, InductionTask]:
        """The tasks of a kind by their id, in the file's order."""
        kind = kind_of(name, place)
        if kind not in self.files:
            raise InputError(f"{place}: no file of {kind} among {self.place}; add it")
        if kind not in self.read:
            tasks = read_tasks(self.files[kind], kind=kind)
            self.read[kind] = {task.id: task for task in tasks}
        return self.read[kind]


def _proposed(path: Path, known: _Known, skip_others: bool) -> Iterator[Hypotheses]:
    for number, record in records(path):
        place = f"{path}:{number}"
        by_place = "responses" in record
        named = text(record, "task" if by_place else "id", place)
        name, _, id = (named, "", "") if by_place else named.partition("/")
        field = f"{place}: {'task' if by_place else 'id'}"
        if skip_others and kind_of(name, field) not in known.files:
            continue
        tasks = known.of(name, field)
        if by_place:
            yield Hypotheses(_found(record, list(tasks.values()), place), _responses(record, place))
            continue
        if id not in tasks:
            raise InputError(f"{field}: {name} has no task {id!r}; give the file it is of")
        # An answer that is all thinking has no text, and is no rule.
        said = record.get("text")
        if not isinstance(said, str):
            raise InputError(f"{place}: text: missing; give what the teacher wrote")
        yield Hypotheses(tasks[id], (said,))


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
