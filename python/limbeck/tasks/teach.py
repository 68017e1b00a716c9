"""From tasks to a record file: an oracle teaches the generated ones, sets bring what they have."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from limbeck.config import Teacher
from limbeck.tasks.public.base import folded
from limbeck.tasks.registry import Generated, Public, find

__all__ = ["write_questions", "write_records"]


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
    found = [(task, _records(task, examples, teacher, seed)) for task in map(find, tasks)]
    return _write(found, path, tasks, examples, progress)


def write_questions(
    tasks: Sequence[str],
    path: Path,
    *,
    examples: int,
    seed: int = 0,
    also_tested: Sequence[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write the training questions of tasks without answers, for a source that is not `labelled`.

    Args:
        tasks: Names as `find` reads them.
        path: The file to write; it appears when it is complete.
        examples: Questions per generated task; a public set brings all of its split `train`.
        seed: Draws questions: those that `write_records` would draw.
        also_tested: Further tasks whose test questions are left out.
        progress: Told questions done, questions in all, and the task.

    Raises:
        InputError: An unknown task or setting.
    """
    found = [(task, _questions(task, examples, seed)) for task in map(find, tasks)]
    return _write(found, path, (*tasks, *also_tested), examples, progress)


def _write(
    parts: Sequence[tuple[Generated | Public, Iterable[dict[str, Any]]]],
    path: Path,
    tested: Sequence[str],
    examples: int,
    progress: Callable[[int, int, str], None] | None,
) -> Path:
    """Write the records of tasks but those that ask a test question of a public set."""
    held_out = {
        folded(question.question)
        for task in map(find, tested)
        if isinstance(task, Public)
        for question in task.questions(None, seed=0, split="test")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as lines:
            for index, (task, records) in enumerate(parts):
                if progress is not None:
                    progress(index * examples, len(parts) * examples, str(task))
                for record in records:
                    if folded(record["question"]) not in held_out:
                        lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if progress is not None:
        progress(len(parts) * examples, len(parts) * examples, "written")
    return path


def _questions(task: Generated | Public, examples: int, seed: int) -> Iterable[dict[str, Any]]:
    if isinstance(task, Public):
        questions = task.questions(None, seed=seed, split="train")
    else:
        questions = task.questions(examples, seed=seed, split="train")
    for each in questions:
        yield {"id": each.id, "domain": each.task, "question": each.question, "split": "train"}


def _records(
    task: Generated | Public, examples: int, teacher: Teacher, seed: int
) -> Iterable[dict[str, Any]]:
    if isinstance(task, Public):
        return chain(task.records(split="train"), task.records(split="validation"))
    return task.records(
        examples,
        seed=seed,
        hallucination=teacher.hallucination,
        mistakes=teacher.mistakes,
        conclusion=teacher.conclusion,
        phrasings=teacher.phrasings,
    )
