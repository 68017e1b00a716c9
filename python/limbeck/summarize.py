"""From answers to figures: accuracy with its interval, what it cost, and what a vote makes of it.

A row is a line of `results.jsonl`: one answer. The rows of a question stand together, in the order
of their samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.search.asked import groups_of
from limbeck.statistics import measure_accuracy
from limbeck.vote import vote

__all__ = ["TaskSummary", "VoteSummary", "WaySummary", "summarize"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class WaySummary:
    """The answers of a task that were written in one order.

    Attributes:
        answers: How many.
        correct: How many of these are right.
        tokens_per_answer: Mean number of tokens generated for one.
    """

    answers: int
    correct: int
    tokens_per_answer: float


@dataclass(frozen=True)
class VoteSummary:
    """What voting made of a task's samples.

    Attributes:
        samples: How many samples make a vote.
        accuracy: Mean over questions of the mean over their votes.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        votes: How many votes over all questions.
        correct: How many of these are right.
        tokens_per_vote: Mean number of tokens generated for one, over all its samples.
    """

    samples: int
    accuracy: float
    low: float
    high: float
    votes: int
    correct: int
    tokens_per_vote: float


@dataclass(frozen=True)
class TaskSummary:
    """How a student did on one task.

    Attributes:
        accuracy: Mean over questions of the mean over their samples.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        questions: How many questions.
        groups: How many of these are independent: queries of one induction task count once.
        samples: How many answers.
        correct: How many of these are right.
        chance: What always giving the commonest gold answer would score.
        tokens_per_answer: Mean number of tokens generated, the ending one included.
        prompt_tokens_per_answer: Mean number of tokens of the prompt.
        answered: Share of answers in which an answer could be read.
        ways: The answers by the order in which they were written.
        vote: What voting makes of them; None where none was asked for.
    """

    accuracy: float
    low: float
    high: float
    questions: int
    groups: int
    samples: int
    correct: int
    chance: float
    tokens_per_answer: float
    prompt_tokens_per_answer: float
    answered: float
    ways: dict[str, WaySummary]
    vote: VoteSummary | None


def summarize(rows: Sequence[Row], *, votes_of: int | None) -> dict[str, TaskSummary]:
    """Return each task's figures, in the order of the rows.

    Args:
        rows: Lines of `results.jsonl`.
        votes_of: How many samples make a vote; None for no votes.
    """
    tasks: dict[str, list[Row]] = {}
    for row in rows:
        tasks.setdefault(row["task"], []).append(row)
    return {task: _task(rows, votes_of) for task, rows in tasks.items()}


def _task(rows: Sequence[Row], votes_of: int | None) -> TaskSummary:
    questions: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        questions.setdefault((row["question"], row["gold"]), []).append(row)
    groups = groups_of((rows[0]["task"], question) for question, _ in questions)
    measured = measure_accuracy(
        [[each["correct"] for each in own] for own in questions.values()], groups=groups
    )
    golds = Counter(gold.strip().casefold() for _, gold in questions)
    ways = dict.fromkeys(row["way"] for row in rows)
    return TaskSummary(
        accuracy=measured.accuracy,
        low=measured.low,
        high=measured.high,
        questions=measured.questions,
        groups=measured.groups,
        samples=measured.samples,
        correct=measured.correct,
        chance=golds.most_common(1)[0][1] / len(questions),
        tokens_per_answer=_mean(rows, "tokens_generated"),
        prompt_tokens_per_answer=_mean(rows, "prompt_tokens"),
        answered=sum(row["answer"] is not None for row in rows) / len(rows),
        ways={way: _way([row for row in rows if row["way"] == way]) for way in ways},
        vote=None if votes_of is None else _votes(list(questions.values()), groups, votes_of),
    )


def _way(rows: Sequence[Row]) -> WaySummary:
    correct = sum(row["correct"] for row in rows)
    return WaySummary(len(rows), correct, _mean(rows, "tokens_generated"))


def _votes(questions: Sequence[Sequence[Row]], groups: Sequence[int], size: int) -> VoteSummary:
    """Let each `size` samples of a question in turn vote."""
    from limbeck._native import answers_equal

    outcomes = []
    for rows in questions:
        voters = [rows[first : first + size] for first in range(0, len(rows), size)]
        answers = [vote([row["answer"] for row in each]).answer for each in voters]
        gold = rows[0]["gold"]
        outcomes.append([each is not None and answers_equal(each, gold) for each in answers])
    measured = measure_accuracy(outcomes, groups=groups)
    tokens = sum(row["tokens_generated"] for rows in questions for row in rows)
    return VoteSummary(
        samples=size,
        accuracy=measured.accuracy,
        low=measured.low,
        high=measured.high,
        votes=measured.samples,
        correct=measured.correct,
        tokens_per_vote=tokens / measured.samples,
    )


def _mean(rows: Sequence[Row], key: str) -> float:
    return float(sum(row[key] for row in rows) / len(rows))
