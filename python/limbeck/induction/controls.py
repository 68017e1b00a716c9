"""What needs no understanding: answers that an accuracy has to exceed to mean anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from limbeck.induction.task import InductionTask

__all__ = ["Answerer", "accuracy", "majority", "slot_memoriser"]

Answerer = Callable[[InductionTask], Sequence[str | None]]


def accuracy(answer: Answerer, tasks: Sequence[InductionTask]) -> tuple[int, int]:
    """Count the queries that are answered right.

    Args:
        answer: Gives an answer, or None, to each query of a task.
        tasks: To be tested on.

    Returns:
        Right answers, and queries.
    """
    right = total = 0
    for task in tasks:
        given = answer(task)
        right += sum(a == q.output for a, q in zip(given, task.queries, strict=True))
        total += len(task.queries)
    return right, total


def majority(known: Sequence[InductionTask]) -> Answerer:
    """Answer everything with what known queries are most often answered with.

    Example:
        >>> from limbeck.induction.task import Pair
        >>> tasks = [InductionTask("acre", "0", (), (Pair("red cube", "off"),))]
        >>> accuracy(majority(tasks), tasks)
        (1, 1)
    """
    counted = Counter(query.output for task in known for query in task.queries)
    answer = counted.most_common(1)[0][0] if counted else None
    return lambda task: [answer] * len(task.queries)


def slot_memoriser(known: Sequence[InductionTask]) -> Answerer:
    """Answer the k-th query with what the k-th query of known tasks is most often answered with.

    It reads nothing of the task. Where it scores, the tasks are one task in other words.
    """
    slots: list[Counter[str]] = []
    for task in known:
        for slot, query in enumerate(task.queries):
            if slot == len(slots):
                slots.append(Counter())
            slots[slot][query.output] += 1
    answers: list[str | None] = [counted.most_common(1)[0][0] for counted in slots]

    def answer(task: InductionTask) -> list[str | None]:
        missing = len(task.queries) - len(answers)
        return [*answers, *[None] * missing][: len(task.queries)]

    return answer
