"""Search: a model writes rules for each task, and the best of them answers the queries.

All tasks go together: one batch of prompts for the rules, and, where the model is to apply rules,
one for all demonstrations and one for the queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.induction.apply import Application, apply_rules
from limbeck.induction.hypotheses import Hypotheses
from limbeck.induction.prompts import rule_prompt
from limbeck.induction.score import Scored, best
from limbeck.induction.task import InductionTask
from limbeck.inference import Inference
from limbeck.search.backend import Backend, Usage

__all__ = ["Found", "search"]


@dataclass(frozen=True)
class Found:
    """What a search has found for one task.

    Attributes:
        task: The task.
        rules: Those that were drawn, scored, in the order of their drawing.
        usage: Model calls and tokens.
    """

    task: InductionTask
    rules: tuple[Scored, ...]
    usage: Usage

    @property
    def best(self) -> Scored:
        """The rule that answers: the first of those that satisfy most demonstrations."""
        return best(self.rules)

    @property
    def answers(self) -> tuple[str | None, ...]:
        """What it gives for the queries."""
        return self.best.answers or (None,) * len(self.task.queries)


def search(
    tasks: Sequence[InductionTask], backend: Backend, *, settings: Inference | None = None
) -> list[Found]:
    """Find a rule for each task and answer its queries.

    Args:
        tasks: Their queries' outputs are not looked at.
        backend: The model.
        settings: How many rules, how they are drawn, and who applies them.

    Raises:
        InputError: A prompt leaves the model no room to answer.
        UnfinishedError: A server did not answer; the same call goes on.

    Example:
        >>> from limbeck.induction import Pair
        >>> from limbeck.search import Written
        >>> class Scripted:
        ...     def write(self, prompts, *, samples, temperature):
        ...         return [Written(("xs", "xs[1:]", None), 9, 7) for _ in prompts]
        >>> shown = Pair("[3, 9]", "[9]"), Pair("[7]", "[]")
        >>> task = InductionTask("list_functions", "0", shown, (Pair("[5, 1]", "[1]"),))
        >>> [found] = search([task], Scripted(), settings=Inference(hypotheses=3))
        >>> found.best.rule, found.answers, found.usage.calls
        ('xs[1:]', ('[1]',), 3)
    """
    settings = settings or Inference()
    usages = [Usage() for _ in tasks]
    drawn = backend.write(
        [rule_prompt(task) for task in tasks],
        samples=settings.hypotheses,
        temperature=settings.temperature,
    )
    for owner, each in enumerate(drawn):
        usages[owner] += Usage(len(each.texts), 0, each.prompt_tokens, each.completion_tokens)

    def apply(asked: Sequence[Application]) -> list[str | None]:
        written = backend.write(
            [each.prompt for each in asked], samples=1, temperature=settings.apply_temperature
        )
        for application, each in zip(asked, written, strict=True):
            usages[application.owner] += Usage(0, 1, each.prompt_tokens, each.completion_tokens)
        return [each.texts[0] for each in written]

    proposed = [
        Hypotheses(task, tuple(text or "" for text in each.texts))
        for task, each in zip(tasks, drawn, strict=True)
    ]
    scored = apply_rules(proposed, apply, scoring=settings.scoring)
    return [
        Found(task, tuple(rules), usage)
        for task, rules, usage in zip(tasks, scored, usages, strict=True)
    ]
