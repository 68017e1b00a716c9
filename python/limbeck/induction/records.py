"""Induction tasks as ordinary records: demonstrations and a query, the rule, the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from limbeck.induction.prompts import few_shot_prompt
from limbeck.induction.task import InductionTask

__all__ = ["query_record", "write_query_records"]


def query_record(
    task: InductionTask, number: int, *, domain: str | None = None, split: str = "train"
) -> dict[str, Any]:
    """Return a query of a task as a record.

    Args:
        task: Its demonstrations are part of the question.
        number: Of the query.
        domain: By default the kind of the task.
        split: Named in the record.

    Returns:
        The record; its rationale is the rule, and missing where that is not known.
    """
    given, answer = task.queries[number]
    record = {
        "id": f"{task.id}-{number}",
        "domain": domain or task.kind,
        "question": few_shot_prompt(task, given),
        "answer": answer,
        "split": split,
    }
    return record if task.rule is None else {**record, "rationale": task.rule}


def write_query_records(tasks: Iterable[InductionTask], path: Path, *, split: str = "test") -> None:
    """Write every query of tasks as a record, to train on or to be evaluated with."""
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for task in tasks:
            for number in range(len(task.queries)):
                record = query_record(task, number, split=split)
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
