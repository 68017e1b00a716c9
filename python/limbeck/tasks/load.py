"""The questions to evaluate on: of a generated task, a public set, or record files."""

from collections.abc import Iterator
from pathlib import Path

from limbeck.errors import InputError
from limbeck.lines import records, text
from limbeck.tasks.base import Question, seeded
from limbeck.tasks.public import SETS
from limbeck.tasks.registry import NAMES, Generated, Public, find, is_task

__all__ = ["held_out_questions", "load"]

_QUESTIONS_MADE = 200


def load(
    name_or_path: str, *, split: str = "test", limit: int | None = None, seed: int = 0
) -> list[Question]:
    """Return questions with their gold answers.

    Args:
        name_or_path: A task (see `registry.find`) or a record file in JSON lines. A record's
            `domain` names its task, and if that is a public set its kind of answers; without one,
            the file's name does. Records that share question and answer count once, whatever their
            number of rationales.
        split: Of a file the records of this split and those that name none.
        limit: Questions per task; where there are more they are sampled. None: all, but 200 of a
            generated task.
        seed: Draws the questions.

    Raises:
        InputError: An unknown task, a malformed record, or no record of the split.
    """
    if limit is not None and limit < 1:
        raise InputError(f"evaluate.questions: {limit} is too few; give 1 or more, or leave it out")
    path = Path(name_or_path)
    if is_task(name_or_path) and not path.is_file():
        return _of_task(find(name_or_path), split, limit, seed)
    if not path.is_file():
        raise InputError(
            f"tasks: {name_or_path!r} is neither a file nor a task; known are {', '.join(NAMES)}, "
            f"and of public sets {', '.join(SETS)}"
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


def held_out_questions(prepared: str | Path, limit: int) -> list[Question]:
    """Return the questions that a preparation held out, none where it held out none.

    Args:
        prepared: What `limbeck prepare` wrote.
        limit: At most so many, over all tasks; the same ones for every student.

    Raises:
        InputError: The file of them is damaged.
    """
    path = Path(prepared) / "validation.jsonl"
    if not path.is_file():
        return []
    questions = load(str(path), split="validation")
    if len(questions) <= limit:
        return questions
    kept = seeded("validation").sample(range(len(questions)), limit)
    return [questions[index] for index in sorted(kept)]


def _of_task(task: Generated | Public, split: str, limit: int | None, seed: int) -> list[Question]:
    if not isinstance(task, Public):
        count = _QUESTIONS_MADE if limit is None else limit
        return list(task.questions(count, seed=seed, split=split))
    questions = list(task.questions(limit, seed=seed, split=split))
    if not questions:
        raise InputError(f"tasks: {task} has no question of split {split!r}; give a copy with some")
    return questions


def _read(path: Path, split: str) -> Iterator[Question]:
    """Yield the questions of a record file that belong to a split."""
    for number, record in records(path):
        place = f"{path}:{number}"
        if text(record, "split", place, default=split) == split:
            domain = text(record, "domain", place, default=path.stem)
            yield Question(
                task=domain,
                id=text(record, "id", place, default=str(number), number=True),
                question=text(record, "question", place),
                answer=text(record, "answer", place, number=True),
                kind=SETS[domain].kind if domain in SETS else "any",
            )
