"""The public format of induction tasks: a JSON object a line, read and written.

`{"idx": 0, "train": [{"input": …, "output": …}, …], "test": […]}`. Inputs and outputs are strings;
an input of ACRE is a list of objects. A `rule`, where the true one is known, is ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.induction.rules import STATES
from limbeck.induction.rules.program import read_list
from limbeck.induction.task import KINDS, InductionTask, Kind, Pair
from limbeck.lines import records, text

__all__ = ["KNOWN_KINDS", "kind_of", "read_tasks", "write_tasks"]

KNOWN_KINDS: dict[str, Kind] = {
    **{kind: kind for kind in KINDS},
    **{f"{kind}_public": kind for kind in KINDS},
    "1d_arc": "one_d_arc",
    "1D_arc": "one_d_arc",
    "list_function": "list_functions",
    "scan": "miniscan",
}
"""The kind that each name means; of some the public files have another name."""


def kind_of(name: str, place: str) -> Kind:
    """Return the kind that a name stands for; the public files' names are known.

    Args:
        name: Such as `1d_arc`.
        place: Where it was found, for the error.

    Raises:
        InputError: It stands for none.
    """
    if name not in KNOWN_KINDS:
        raise InputError(f"{place}: {name!r} is no kind of task; one of {', '.join(KNOWN_KINDS)}")
    return KNOWN_KINDS[name]


def read_tasks(path: Path, *, kind: Kind | None = None) -> list[InductionTask]:
    """Read the tasks of a file, in its order.

    Args:
        path: A file in the public format.
        kind: Of all its tasks; by default its name says it (`1d_arc.jsonl`).

    Raises:
        InputError: The file names no kind, holds no task, or a field is wrong; with its place.
    """
    known = kind or kind_of(path.stem, f"{path}: name")
    tasks = [_task(record, known, f"{path}:{number}") for number, record in records(path)]
    if not tasks:
        raise InputError(f"{path}: holds no task; write one JSON object a line")
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise InputError(f"{path}: idx: {task.id} stands twice; give each task its own")
        seen.add(task.id)
    return tasks


def write_tasks(tasks: Iterable[InductionTask], path: Path) -> None:
    """Write tasks as `read_tasks` reads them."""
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for task in tasks:
            record: dict[str, Any] = {
                "idx": task.id,
                "train": [_written(task.kind, pair) for pair in task.demonstrations],
                "test": [_written(task.kind, pair) for pair in task.queries],
            }
            if task.rule is not None:
                record["rule"] = task.rule
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")


def _written(kind: Kind, pair: Pair) -> dict[str, Any]:
    given = pair.input.split(", ") if kind == "acre" else pair.input
    return {"input": given, "output": pair.output}


def _task(record: dict[str, Any], kind: Kind, place: str) -> InductionTask:
    rule = text(record, "rule", place) if "rule" in record else None
    return InductionTask(
        kind,
        text(record, "idx", place, number=True),
        _pairs(record, "train", kind, place),
        _pairs(record, "test", kind, place),
        rule,
    )


def _pairs(record: dict[str, Any], field: str, kind: Kind, place: str) -> tuple[Pair, ...]:
    pairs = record.get(field)
    if not isinstance(pairs, list) or not pairs:
        raise InputError(f'{place}: {field}: give a list of {{"input": …, "output": …}}')
    found = []
    for number, pair in enumerate(pairs):
        here = f"{place}: {field}[{number}]"
        if not isinstance(pair, dict):
            raise InputError(f'{here}: no object; give {{"input": …, "output": …}}')
        given = _objects(pair, here) if kind == "acre" else text(pair, "input", here)
        found.append(_checked(Pair(given, text(pair, "output", here)), kind, here))
    return tuple(found)


def _objects(pair: dict[str, Any], place: str) -> str:
    """The objects of an ACRE input, separated by commas."""
    objects = pair.get("input")
    if isinstance(objects, str):
        return text(pair, "input", place)
    if not isinstance(objects, list) or not objects:
        raise InputError(f"{place}: input: give a list of objects")
    named = [
        text({"input": name}, "input", f"{place}: input[{n}]") for n, name in enumerate(objects)
    ]
    return ", ".join(named)


def _checked(pair: Pair, kind: Kind, place: str) -> Pair:
    if kind == "acre" and pair.output not in STATES:
        raise InputError(f"{place}: output: {pair.output!r}; one of {', '.join(STATES)}")
    if kind in ("list_functions", "one_d_arc"):
        for field, value in pair._asdict().items():
            if read_list(value) is None:
                raise InputError(f"{place}: {field}: {value[:40]!r} is no list of whole numbers")
    return pair
