"""Questions become induction tasks again: those that show the same demonstrations are one task.

Any question that `few_shot_prompt` has written will do, of a generated task or of a record file; so
a search answers exactly what a student without one is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from limbeck.errors import InputError
from limbeck.induction.files import KNOWN_KINDS
from limbeck.induction.prompts import read_few_shot
from limbeck.induction.task import InductionTask, Kind, Pair
from limbeck.tasks import Question

__all__ = ["Asked", "group", "groups_of", "is_induction"]


@dataclass(frozen=True)
class Asked:
    """A task, and which of the questions its queries are.

    Attributes:
        name: What the questions call the task they are of, its settings included.
        task: With the gold answers as its queries' outputs.
        places: Of its queries among the questions.
        slots: Of its queries in the whole task, all of whose queries may not have been asked.
    """

    name: str
    task: InductionTask
    places: tuple[int, ...]
    slots: tuple[int, ...]


@dataclass
class _Group:
    name: str
    kind: Kind
    id: str
    queries: list[Pair] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)


def is_induction(question: Question) -> bool:
    r"""Whether a question is a query of an induction task.

    Example:
        >>> asked = "Input: [1]\nOutput: [2]\nInput: [4]\nOutput:"
        >>> is_induction(Question("list_functions:steps=1", "0", asked, "[5]"))
        True
        >>> is_induction(Question("coin_flip", "0", "Heads?", "yes"))
        False
    """
    return _kind(question) is not None and read_few_shot(question.question) is not None


def group(questions: Sequence[Question]) -> list[Asked]:
    """Return the tasks behind questions, in the order in which they are first asked.

    Args:
        questions: Queries of induction tasks.

    Raises:
        InputError: A question is none.
    """
    groups: dict[tuple[str, tuple[Pair, ...]], _Group] = {}
    for place, question in enumerate(questions):
        kind, read = _kind(question), read_few_shot(question.question)
        if kind is None or read is None:
            raise InputError(
                f"evaluate.inference.mode: search: {question.task} ({question.id}) is no induction "
                "task, and has no demonstrations that a rule could be scored by; ask it with "
                "`mode: direct`"
            )
        shown, given = read
        own = groups.setdefault(
            (question.task, shown), _Group(question.task, kind, question.id.rpartition("-")[0])
        )
        number = question.id.rpartition("-")[2]  # as `query_record` writes it
        own.slots.append(int(number) if number.isdecimal() else len(own.queries))
        own.queries.append(Pair(given, question.answer))
        own.places.append(place)
    return [
        Asked(
            own.name,
            InductionTask(own.kind, own.id, shown, tuple(own.queries)),
            tuple(own.places),
            tuple(own.slots),
        )
        for (_, shown), own in groups.items()
    ]


def groups_of(questions: Iterable[tuple[str, str]]) -> list[int]:
    r"""Number the groups of questions that are not independent: queries of one induction task.

    Args:
        questions: The name of its task and the text of each.

    Returns:
        The group of each; any other question is one by itself.

    Example:
        >>> first = "Input: [1]\nOutput: [2]\nInput: [4]\nOutput:"
        >>> other = "Input: [1]\nOutput: [2]\nInput: [7]\nOutput:"
        >>> groups_of([("list_functions", first), ("coin_flip", "?"), ("list_functions", other)])
        [0, 1, 0]
    """
    numbers: dict[object, int] = {}
    found = []
    for place, (task, text) in enumerate(questions):
        read = read_few_shot(text) if _kind_of(task) else None
        found.append(numbers.setdefault(place if read is None else (task, read[0]), len(numbers)))
    return found


def _kind(question: Question) -> Kind | None:
    return _kind_of(question.task)


def _kind_of(task: str) -> Kind | None:
    return KNOWN_KINDS.get(task.partition(":")[0])
