"""Rules are scored by running them: how many demonstrations does each satisfy?

What cannot be parsed satisfies none, and is counted. The best rule of a task is the first of those
that satisfy most; what it gives for the queries is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from limbeck.induction.hypotheses import Hypotheses, read_hypotheses
from limbeck.induction.rules import RuleError, parse_rule
from limbeck.induction.task import KINDS, InductionTask, Kind

__all__ = [
    "Scored",
    "Summary",
    "best",
    "no_rule",
    "score",
    "score_rule",
    "summarize",
    "write_scored",
]


@dataclass(frozen=True)
class Scored:
    """A rule that was applied to the inputs of its task.

    Attributes:
        task: What it was proposed for.
        rule: Its text.
        fault: Why the text is no rule; None where it is one.
        outputs: What it gives for the demonstrations; None where it gives nothing.
        answers: The same for the queries; None where these were not asked.
        by: Who applied it: an executor that ran it, or a model.
    """

    task: InductionTask
    rule: str
    fault: str | None
    outputs: tuple[str | None, ...]
    answers: tuple[str | None, ...] | None
    by: Literal["executor", "model"] = "executor"

    @property
    def satisfied(self) -> int:
        """How many demonstrations it satisfies: its score."""
        return sum(
            o == d.output for o, d in zip(self.outputs, self.task.demonstrations, strict=True)
        )

    @property
    def right(self) -> int:
        """How many queries it answers right; none where they were not asked."""
        answers = self.answers or (None,) * len(self.task.queries)
        return sum(a == q.output for a, q in zip(answers, self.task.queries, strict=True))

    @property
    def satisfies_all(self) -> bool:
        """Whether no demonstration speaks against it."""
        return self.satisfied == len(self.task.demonstrations)


class Summary(NamedTuple):
    """Counts over the hypotheses of one kind.

    Attributes:
        kind: Of the tasks.
        tasks: With hypotheses.
        rules: Hypotheses.
        parsed: Of them, those that are rules: that can be run, or that a model applied.
        satisfying: Of them, those that satisfy all demonstrations.
        explained: Tasks whose best rule satisfies all demonstrations.
        right: Queries that the best rule of their task answers right.
        queries: All of them.
        solved: Tasks whose best rule answers every query right.
    """

    kind: Kind
    tasks: int
    rules: int
    parsed: int
    satisfying: int
    explained: int
    right: int
    queries: int
    solved: int

    @property
    def accuracy(self) -> float:
        """Share of the queries that are answered right."""
        return self.right / self.queries


def score_rule(task: InductionTask, rule: str) -> Scored:
    """Run a rule, as text, on the demonstrations and the queries of a task.

    Example:
        >>> from limbeck.induction.task import Pair
        >>> shown = Pair("[1, 2]", "[2, 1]"), Pair("[3]", "[3]")
        >>> task = InductionTask("list_functions", "0", shown, (Pair("[4, 5]", "[5, 4]"),))
        >>> scored = score_rule(task, "xs[::-1]")
        >>> scored.satisfied, scored.right
        (2, 1)
        >>> score_rule(task, "Turn it round.").fault
        "no expression: 'Turn it round.'"
    """
    try:
        parsed = parse_rule(task.kind, rule)
    except RuleError as error:
        return no_rule(task, rule, str(error))
    return Scored(
        task,
        rule,
        None,
        tuple(parsed.apply(pair.input) for pair in task.demonstrations),
        tuple(parsed.apply(pair.input) for pair in task.queries),
    )


def no_rule(task: InductionTask, text: str, fault: str) -> Scored:
    """A text that is no rule, and so gives nothing."""
    shown, asked = len(task.demonstrations), len(task.queries)
    return Scored(task, text, fault, (None,) * shown, (None,) * asked)


def best(scored: Sequence[Scored]) -> Scored:
    """Return the first of the rules that satisfy most demonstrations; no rule comes last."""
    return max(scored, key=lambda one: (one.satisfied, one.fault is None))


def summarize(tasks: Iterable[Sequence[Scored]]) -> list[Summary]:
    """Count over the rules of each task, one summary a kind."""
    grouped: dict[Kind, list[Sequence[Scored]]] = {kind: [] for kind in KINDS}
    for rules in tasks:
        if rules:
            grouped[rules[0].task.kind].append(rules)
    return [_summary(kind, found) for kind, found in grouped.items() if found]


def _summary(kind: Kind, tasks: list[Sequence[Scored]]) -> Summary:
    rules = [one for scored in tasks for one in scored]
    chosen = [best(scored) for scored in tasks]
    return Summary(
        kind,
        tasks=len(tasks),
        rules=len(rules),
        parsed=sum(one.fault is None for one in rules),
        satisfying=sum(one.satisfies_all for one in rules),
        explained=sum(one.satisfies_all for one in chosen),
        right=sum(one.right for one in chosen),
        queries=sum(len(one.task.queries) for one in chosen),
        solved=sum(one.right == len(one.task.queries) for one in chosen),
    )


def score(hypotheses: Path, *, tasks: Path, output: Path | None = None) -> list[list[Scored]]:
    """Score every rule of a file.

    Args:
        hypotheses: As `read_hypotheses` reads it.
        tasks: Directory of the task files.
        output: Where to write each rule with its score, a JSON object a line; nowhere by default.

    Returns:
        The rules of each task, in the file's order; see `summarize` and `training_data`.

    Raises:
        InputError: A file is wrong; with its place.
    """
    scored = [_scored(found) for found in read_hypotheses(hypotheses, tasks)]
    if output is not None:
        write_scored(scored, output)
    return scored


def write_scored(scored: Iterable[Sequence[Scored]], path: Path) -> None:
    """Write each rule with its score, a JSON object a line."""
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for one in (one for rules in scored for one in rules):
            lines.write(json.dumps(_record(one), ensure_ascii=False) + "\n")


def _scored(hypotheses: Hypotheses) -> list[Scored]:
    return [score_rule(hypotheses.task, rule) for rule in hypotheses.rules]


def _record(one: Scored) -> dict[str, object]:
    return {
        "task": one.task.kind,
        "id": one.task.id,
        "rule": one.rule,
        "fault": one.fault,
        "satisfied": one.satisfied,
        "demonstrations": len(one.task.demonstrations),
        "right": None if one.answers is None else one.right,
        "queries": len(one.task.queries),
        "outputs": one.outputs,
        "by": one.by,
    }
