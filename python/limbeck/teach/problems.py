"""Questions to have answered, of tasks and record files, with what is known of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import InputError
from limbeck.lines import records, text
from limbeck.tasks.answers import Kind
from limbeck.tasks.base import Question
from limbeck.tasks.public import SETS
from limbeck.tasks.public.base import folded
from limbeck.tasks.registry import NAMES, Generated, Public, find, is_task

__all__ = ["Problem", "read_problems"]

TEST = "test"


@dataclass(frozen=True)
class Problem:
    """A question to have answered.

    Attributes:
        id: Of its record.
        question: Its text.
        answer: The gold answer; None where nobody knows it, and no answer can be wrong.
        domain: The task it is of.
        split: `train`, `validation`, or none where its file names none.
        kind: Where in a text its answer is to be looked for.
    """

    id: str
    question: str
    answer: str | None
    domain: str
    split: str | None
    kind: Kind


def read_problems(sources: Sequence[str], *, examples: int, seed: int) -> list[Problem]:
    """Read the questions that may be trained on; of those given twice with one answer, the first.

    Args:
        sources: Tasks, as `tasks.find` reads them, and files of JSON lines with `question` and
            perhaps `answer`, `id`, `domain` and `split`. Questions of the split `test` are left
            out, whatever other source has them too.
        examples: Questions of each generated task.
        seed: Draws those.

    Raises:
        InputError: An unknown task, a malformed record, or no question at all.
    """
    found: list[Problem] = []
    for source in sources:
        if Path(source).is_file():
            found += _of_file(Path(source))
        elif is_task(source):
            found += _of_task(find(source), examples, seed)
        else:
            raise InputError(
                f"{source}: neither a file nor a task; known are {', '.join(NAMES)}, and of public "
                f"sets {', '.join(SETS)}"
            )
    held_out = {folded(problem.question) for problem in found if problem.split == TEST}
    kept = {
        (problem.question, problem.answer): problem
        for problem in reversed(found)
        if folded(problem.question) not in held_out
    }
    if not kept:
        raise InputError(f"{', '.join(sources)}: no question but of the split test; give others")
    return list(kept.values())[::-1]


def _of_task(task: Generated | Public, examples: int, seed: int) -> Iterator[Problem]:
    found: Iterable[tuple[str, Question]]
    if isinstance(task, Public):
        sides = ("train", "validation", TEST)
        found = ((side, q) for side in sides for q in task.questions(None, seed=seed, split=side))
    else:
        # No question of a generated task is of two splits, so its tests need not be known.
        found = (("train", q) for q in task.questions(examples, seed=seed, split="train"))
    for split, each in found:
        yield Problem(each.id, each.question, each.answer, each.task, split, each.kind)


def _of_file(path: Path) -> Iterator[Problem]:
    for number, record in records(path):
        place = f"{path}:{number}"
        domain = text(record, "domain", place, default=path.stem)
        has_split, has_answer = (record.get(key) is not None for key in ("split", "answer"))
        yield Problem(
            id=text(record, "id", place, default=str(number), number=True),
            question=text(record, "question", place),
            answer=text(record, "answer", place, number=True) if has_answer else None,
            domain=domain,
            split=text(record, "split", place) if has_split else None,
            kind=SETS[domain].kind if domain in SETS else "any",
        )
