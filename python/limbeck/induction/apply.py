"""Rules in whatever words, applied by a language model, and by an executor those it can read.

Every distinct rule of a task is put to every demonstration; what it gives counts where it is the
output, letter for letter. Then the best rule of each task is put to the queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from limbeck.induction.hypotheses import Hypotheses
from limbeck.induction.prompts import apply_prompt
from limbeck.induction.rules.program import read_list
from limbeck.induction.score import Scored, best, no_rule, score_rule
from limbeck.induction.task import InductionTask, Kind
from limbeck.inference import Scoring

__all__ = ["Application", "Apply", "apply_rules", "read_output"]

_LIST_KINDS: tuple[Kind, ...] = ("list_functions", "one_d_arc")


class Application(NamedTuple):
    """A rule to be applied to an input.

    Attributes:
        owner: The number of its task.
        prompt: What a model is asked.
    """

    owner: int
    prompt: str


Apply = Callable[[Sequence[Application]], Sequence[str | None]]
"""What a model writes for each application; None where that did not end."""


def apply_rules(
    proposed: Sequence[Hypotheses], apply: Apply, *, scoring: Scoring = "model"
) -> list[list[Scored]]:
    """Score the rules of tasks, by a model where `scoring` says so.

    Args:
        proposed: The rules of each task. Rules of one text are applied once; an empty text is none.
        apply: The model. It is asked twice at most: for all demonstrations, then for the queries.
        scoring: Who applies which rules.

    Returns:
        The rules of each task in their order. Of those that a model applied, only the best has
        `answers`.
    """
    tables: list[dict[str, Scored]] = []
    asked: list[tuple[int, str]] = []
    for owner, each in enumerate(proposed):
        table = {rule: _by_executor(each.task, rule, scoring) for rule in each.rules}
        asked += [(owner, rule) for rule, one in table.items() if one is None]
        # The order of the rules stays, also of those that are still open.
        tables.append({rule: one or no_rule(each.task, rule, "") for rule, one in table.items()})
    shown = [
        Application(owner, apply_prompt(task.kind, _stated(rule), pair.input))
        for owner, rule in asked
        for task in [proposed[owner].task]
        for pair in task.demonstrations
    ]
    given = iter(apply(shown) if shown else ())
    for owner, rule in asked:
        task = proposed[owner].task
        outputs = tuple(read_output(task.kind, next(given)) for _ in task.demonstrations)
        tables[owner][rule] = Scored(task, rule, None, outputs, None, by="model")
    scored = [
        [table[rule] for rule in each.rules] for each, table in zip(proposed, tables, strict=True)
    ]
    return _answered(scored, apply)


def _answered(scored: list[list[Scored]], apply: Apply) -> list[list[Scored]]:
    """Put the best rule of each task to the queries, where no executor has."""
    chosen = {owner: best(rules) for owner, rules in enumerate(scored) if rules}
    open_ = {owner: one for owner, one in chosen.items() if one.answers is None}
    wanted = [
        Application(owner, apply_prompt(one.task.kind, _stated(one.rule), query.input))
        for owner, one in open_.items()
        for query in one.task.queries
    ]
    given = iter(apply(wanted) if wanted else ())
    for owner, one in open_.items():
        answers = tuple(read_output(one.task.kind, next(given)) for _ in one.task.queries)
        answered = replace(one, answers=answers)
        scored[owner] = [answered if each is one else each for each in scored[owner]]
    return scored


def _by_executor(task: InductionTask, rule: str, scoring: Scoring) -> Scored | None:
    """What an executor says of a rule; None where the model is to apply it."""
    if not rule.strip():
        return no_rule(task, rule, "no text, or one that was cut off")
    if scoring == "model":
        return None
    one = score_rule(task, rule)
    return None if scoring == "auto" and one.fault is not None else one


def _stated(rule: str) -> str:
    """A rule without the word that the prompt sets before it."""
    return rule.strip().removeprefix("Rule:").strip()


def read_output(kind: Kind, text: str | None) -> str | None:
    """Read the output in what a model wrote; None where it wrote none.

    Lists count by their numbers, whatever spaces are between them.

    Example:
        >>> read_output("list_functions", "Output: [1,2]")
        '[1, 2]'
    """
    if text is None:
        return None
    output = text.strip().removeprefix("Output:").strip()
    values = read_list(output) if kind in _LIST_KINDS else None
    return (str(values) if values is not None else output) or None
