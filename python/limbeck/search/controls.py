"""What an accuracy on induction tasks is held against: answers that take no understanding.

And, the other way round, those of a solver that knows what kind of rule there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck.induction.controls import Answerer, majority, slot_memoriser
from limbeck.induction.solvers import solve_acre, solve_miniscan
from limbeck.induction.task import InductionTask, Kind, Pair
from limbeck.search.asked import Asked, group, is_induction
from limbeck.tasks import Induction, Question
from limbeck.tasks.induction import InductionFile
from limbeck.tasks.registry import find, is_task

__all__ = ["Control", "controls_of"]

KNOWN_TASKS = 100  # of which the memoriser knows the answers

_SOLVERS: dict[Kind, Answerer] = {"acre": solve_acre, "miniscan": solve_miniscan}


@dataclass(frozen=True)
class Control:
    """How many of the questions a control answers right."""

    correct: int
    questions: int


def controls_of(
    questions: Sequence[Question], tasks: Sequence[str], *, seed: int
) -> dict[str, dict[str, Control]]:
    """Answer the induction questions among some without a student.

    Args:
        questions: Those that a student was asked; others than induction's are passed over.
        tasks: Where they are from: names of tasks, which can make training tasks, or files.
        seed: Of the training tasks that the memoriser knows.

    Returns:
        By task: `majority` (the commonest answer of the questions), `slot_memoriser` (the commonest
        k-th answer of training tasks, where the task can make some) and `solver` (where there is an
        exact one).
    """
    found: dict[str, dict[str, Control]] = {}
    asked = [question for question in questions if is_induction(question)]
    if not asked:
        return {}
    trained = _training_tasks(tasks, seed)
    for name in dict.fromkeys(question.task for question in asked):
        own = [question for question in asked if question.task == name]
        found[name] = _controls(own, trained.get(name, []))
    return found


def _training_tasks(names: Sequence[str], seed: int) -> dict[str, list[InductionTask]]:
    """Some training tasks of each name that is a task of induction and no file."""
    tasks = [find(name) for name in names if is_task(name) and not Path(name).is_file()]
    return {
        str(task): list(task.tasks(KNOWN_TASKS, seed=seed, split="train"))
        for task in tasks
        if isinstance(task, Induction | InductionFile)
    }


def _controls(questions: Sequence[Question], known: list[InductionTask]) -> dict[str, Control]:
    groups = group(questions)
    commonest = majority([each.task for each in groups])
    found = {"majority": _count(groups, lambda asked: commonest(asked.task))}
    if known:
        found["slot_memoriser"] = _count(groups, _in_slots(slot_memoriser(known)))
    if (solve := _SOLVERS.get(groups[0].task.kind)) is not None:
        found["solver"] = _count(groups, lambda asked: solve(asked.task))
    return found


def _count(groups: Sequence[Asked], answer: Callable[[Asked], Sequence[str | None]]) -> Control:
    right = sum(
        given == query.output
        for asked in groups
        for given, query in zip(answer(asked), asked.task.queries, strict=True)
    )
    return Control(right, sum(len(asked.task.queries) for asked in groups))


def _in_slots(memoriser: Answerer) -> Callable[[Asked], Sequence[str | None]]:
    """Let a memoriser answer each query by its place in the whole task, some of which was asked."""

    def answer(asked: Asked) -> list[str | None]:
        blank = (Pair("", ""),) * (max(asked.slots) + 1)
        known = memoriser(replace(asked.task, queries=blank))
        return [known[slot] for slot in asked.slots]

    return answer
