"""From tasks to a record file: an oracle teaches the generated ones, sets bring what they have."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from limbeck.config import Teacher
from limbeck.tasks.public import PublicTask
from limbeck.tasks.public.base import folded
from limbeck.tasks.registry import Generated, find

__all__ = ["write_records"]


def write_records(
    tasks: Sequence[str],
    path: Path,
    *,
    examples: int,
    teacher: Teacher | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write training records of tasks, one task after the other, as JSON lines.

    A public set brings its questions of train, and of validation where it names them, with the
    rationales of its publisher or of the records it is read from; one that is a test question of
    any of the tasks, in whatever capitals and spaces, is left out.

    Args:
        tasks: Names as `find` reads them.
        path: The file to write; it appears when it is complete.
        examples: Records per generated task.
        teacher: Share and kind of hallucinations, phrasings; by default the truth in two.
        seed: Draws questions, phrasings and mistakes.
        progress: Told records done, records in all, and the task.

    Raises:
        InputError: An unknown task or setting.
    """
    teacher = teacher or Teacher()
    found = [find(name) for name in tasks]
    held_out = {
        folded(question.question)
        for task in found
        if isinstance(task, PublicTask)
        for question in task.questions(None, seed=seed, split="test")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as lines:
            for index, task in enumerate(found):
                if progress is not None:
                    progress(index * examples, len(found) * examples, str(task))
                for record in _records(task, examples, teacher, seed):
                    if folded(record["question"]) not in held_out:
                        lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if progress is not None:
        progress(len(found) * examples, len(found) * examples, "written")
    return path


def _records(
    task: Generated | PublicTask, examples: int, teacher: Teacher, seed: int
) -> Iterable[dict[str, Any]]:
    if isinstance(task, PublicTask):
        return chain(task.records(split="train"), task.records(split="validation"))
    return task.records(
        examples,
        seed=seed,
        hallucination=teacher.hallucination,
        mistakes=teacher.mistakes,
        conclusion=teacher.conclusion,
        phrasings=teacher.phrasings,
    )
