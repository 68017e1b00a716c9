"""The oracle teacher: generated tasks become a record file."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from limbeck.config import Teacher
from limbeck.tasks.registry import get

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
    """Write training records of generated tasks, one task after the other, as JSON lines.

    Args:
        tasks: Names as `get` reads them.
        path: The file to write; it appears when it is complete.
        examples: Records per task.
        teacher: Share and kind of hallucinations, phrasings; by default the truth in two.
        seed: Draws questions, phrasings and mistakes.
        progress: Told records done, records in all, and the task.

    Raises:
        InputError: An unknown task or setting.
    """
    teacher = teacher or Teacher()
    made = [get(name) for name in tasks]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as lines:
            for index, task in enumerate(made):
                if progress is not None:
                    progress(index * examples, len(made) * examples, str(task))
                for record in task.records(
                    examples,
                    seed=seed,
                    hallucination=teacher.hallucination,
                    conclusion=teacher.conclusion,
                    phrasings=teacher.phrasings,
                ):
                    lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if progress is not None:
        progress(len(made) * examples, len(made) * examples, "written")
    return path
