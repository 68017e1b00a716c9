"""What a finished cell has to tell: every question's share of right answers, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limbeck.compare.cell import Spent, read_spent
from limbeck.compare.plan import Cell
from limbeck.errors import InputError
from limbeck.evaluate import Summary
from limbeck.report.formats import DomainProbe, Sample, Training, read_json, read_lines
from limbeck.search.controls import Control
from limbeck.search.evaluate import SearchSummary
from limbeck.vote import vote

__all__ = ["Outcome", "read_outcome"]

Question = tuple[str, str, str]
"""Task, question and gold answer."""


@dataclass(frozen=True)
class Outcome:
    """A cell's results.

    Attributes:
        rates: Share of right answers of each question.
        tokens_per_answer: Mean number of tokens generated for one.
        tokens_read_per_answer: Mean number of tokens of the prompts for one.
        calls_per_answer: Mean number of texts that were generated for one, by a search several.
        controls: By task, how many of its questions each control answers right.
        votes: The same of votes over its samples, where the recipe asks for them.
        tokens_per_vote: Mean number of tokens generated for one.
        spent: Tokens that its student cost.
        encoder_arm: Tokens that the arm cost whose student encodes its targets; 0 without one.
        steps: Of the optimizer.
        examples: That training saw.
        seconds: Of training.
        probe: What its states tell of the domain; None where that was not asked.
    """

    rates: dict[Question, float]
    tokens_per_answer: float
    tokens_read_per_answer: float
    calls_per_answer: float
    controls: dict[str, dict[str, Control]]
    votes: dict[Question, float] | None
    tokens_per_vote: float | None
    spent: Spent
    encoder_arm: int
    steps: int
    examples: int
    seconds: float
    probe: DomainProbe | None


def read_outcome(cell: Cell) -> Outcome:
    """Read what a finished cell left.

    Raises:
        InputError: A file is missing or damaged.
    """
    root = cell.recipe.output_dir
    asked: dict[Question, list[Sample]] = {}
    for row in read_lines(Sample, root / "evaluate" / "results.jsonl"):
        asked.setdefault((row.task, row.question, row.gold), []).append(row)
    training = read_json(Training, root / "student" / "training.json")
    evaluation = read_json(Summary, root / "evaluate" / "summary.json")
    if training is None or evaluation is None or not asked:
        raise InputError(f"{root}: no results in it; run the comparison again")
    size = cell.recipe.evaluate.vote
    rows = [row for own in asked.values() for row in own]
    tokens = sum(row.tokens_generated for row in rows)
    return Outcome(
        rates={key: _share([row.correct for row in own]) for key, own in asked.items()},
        tokens_per_answer=tokens / len(rows),
        tokens_read_per_answer=sum(row.prompt_tokens for row in rows) / len(rows),
        calls_per_answer=_calls(rows, evaluation.searches) / len(rows),
        controls=evaluation.controls,
        votes=None if size is None else {key: _votes(own, size) for key, own in asked.items()},
        tokens_per_vote=None if size is None else size * tokens / len(rows),
        spent=read_spent(root),
        encoder_arm=0 if cell.encoder_of is None else read_spent(cell.encoder_of).total,
        steps=training.steps,
        examples=training.examples_seen,
        seconds=training.seconds,
        probe=read_json(DomainProbe, root / "probe.json"),
    )


def _calls(rows: list[Sample], searches: Mapping[str, SearchSummary]) -> int:
    """Of a search those for rules and for what they give, else one an answer."""
    asked = sum(each.rule_calls + each.apply_calls for each in searches.values())
    return asked + sum(row.task not in searches for row in rows)


def _votes(rows: list[Sample], size: int) -> float:
    """Return how often the votes of each `size` samples in turn are right."""
    from limbeck._native import answers_equal

    groups = [rows[first : first + size] for first in range(0, len(rows), size)]
    answers = [vote([row.answer for row in group]).answer for group in groups]
    return _share([each is not None and answers_equal(each, rows[0].gold) for each in answers])


def _share(right: list[bool]) -> float:
    return sum(right) / len(right)
