"""Questions answered by a search: the lines of `results.jsonl`, and what every rule came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limbeck.induction.prompts import rule_prompt
from limbeck.inference import Inference
from limbeck.search.asked import Asked, group
from limbeck.search.backend import Backend, Usage
from limbeck.search.search import Found, search
from limbeck.tasks import Question

__all__ = ["Answer", "SearchSummary", "Searched", "answer_by_search"]


@dataclass(frozen=True)
class Answer:
    """What a search answers to a question.

    Attributes:
        prompt: What rules were asked with.
        rule: The rule that answers.
        text: What it gives; None where it gives nothing.
        prompt_tokens: The question's share of what the search of its task took.
        tokens: The same of what was written.
    """

    prompt: str
    rule: str
    text: str | None
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True)
class SearchSummary:
    """The searches of one task's questions.

    Attributes:
        tasks: Sets of demonstrations for which a rule was sought.
        hypotheses: Rules that were drawn.
        distinct: Of these, those of different text within their set.
        parsed: Rules that an executor could run.
        by_model: Rules that the model applied.
        satisfying: Rules that satisfy all demonstrations.
        explained: Sets whose best rule does.
        rule_calls: Texts that the model wrote for rules.
        apply_calls: Texts that it wrote for what a rule gives.
        prompt_tokens: Of both.
        completion_tokens: Of both.
    """

    tasks: int
    hypotheses: int
    distinct: int
    parsed: int
    by_model: int
    satisfying: int
    explained: int
    rule_calls: int
    apply_calls: int
    prompt_tokens: int
    completion_tokens: int

    def __str__(self) -> str:
        """Say it in a line."""
        calls = self.rule_calls + self.apply_calls
        return (
            f"{self.tasks:,} tasks, {self.hypotheses:,} rules, {self.satisfying:,} of them satisfy "
            f"all demonstrations, {self.explained:,} tasks explained; {calls:,} model calls, "
            f"{self.prompt_tokens:,} tokens read, {self.completion_tokens:,} written"
        )


@dataclass(frozen=True)
class Searched:
    """The answers to questions, in their order, and the searches behind them.

    Attributes:
        answers: One a question.
        tasks: A summary by the questions' task.
        rows: The lines of `search.jsonl`: every rule of every task, with its score.
    """

    answers: list[Answer]
    tasks: dict[str, SearchSummary]
    rows: list[dict[str, Any]]


def answer_by_search(
    questions: Sequence[Question], backend: Backend, settings: Inference
) -> Searched:
    """Search a rule for each set of demonstrations and answer the questions by it.

    Args:
        questions: Queries of induction tasks.
        backend: The model.
        settings: Of the search.

    Raises:
        InputError: A question is none of an induction task, or leaves the model no room.
        UnfinishedError: A server did not answer; the same call goes on.
    """
    asked = group(questions)
    found = search([each.task for each in asked], backend, settings=settings)
    answers: list[Answer | None] = [None] * len(questions)
    grouped: dict[str, list[Found]] = {}
    rows = []
    for own, each in zip(asked, found, strict=True):
        grouped.setdefault(own.name, []).append(each)
        rows.append(_row(own, each))
        for place, answer in zip(own.places, _answers(each), strict=True):
            answers[place] = answer
    return Searched(
        [each for each in answers if each is not None],
        {name: _summary(own) for name, own in grouped.items()},
        rows,
    )


def _answers(found: Found) -> Iterator[Answer]:
    count = len(found.task.queries)
    shares = zip(
        _shares(found.usage.prompt_tokens, count),
        _shares(found.usage.completion_tokens, count),
        strict=True,
    )
    for text, (prompt_tokens, tokens) in zip(found.answers, shares, strict=True):
        yield Answer(rule_prompt(found.task), found.best.rule, text, prompt_tokens, tokens)


def _shares(total: int, count: int) -> list[int]:
    """Part a number into whole numbers that are as equal as can be."""
    return [(total + place) // count for place in range(count)]


def _summary(found: Sequence[Found]) -> SearchSummary:
    rules = [one for each in found for one in each.rules]
    usage = sum((each.usage for each in found), Usage())
    return SearchSummary(
        tasks=len(found),
        hypotheses=len(rules),
        distinct=sum(len({one.rule for one in each.rules}) for each in found),
        parsed=sum(one.fault is None and one.by == "executor" for one in rules),
        by_model=sum(one.by == "model" for one in rules),
        satisfying=sum(one.satisfies_all for one in rules),
        explained=sum(each.best.satisfies_all for each in found),
        **asdict(usage),
    )


def _row(asked: Asked, found: Found) -> dict[str, Any]:
    return {
        "task": asked.name,
        "id": asked.task.id,
        "demonstrations": len(found.task.demonstrations),
        "best": found.rules.index(found.best),
        "rules": [
            {
                "rule": one.rule,
                "satisfied": one.satisfied,
                "fault": one.fault,
                "by": one.by,
                "outputs": one.outputs,
            }
            for one in found.rules
        ],
        **asdict(found.usage),
    }
