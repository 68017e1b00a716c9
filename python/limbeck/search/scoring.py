"""Rules scored by a model that `teach` can ask, with its cache, pace and budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from limbeck.induction.apply import Application, apply_rules
from limbeck.induction.hypotheses import Hypotheses
from limbeck.induction.score import Scored
from limbeck.inference import Scoring
from limbeck.search.teacher import ModelBackend
from limbeck.teach import Prompt, estimate_samples
from limbeck.teach.estimate import Estimate
from limbeck.teachers import Endpoint, LocalModel

__all__ = ["APPLY_TEMPERATURE", "estimate_scoring", "score_by_model"]

APPLY_TEMPERATURE = 0.7
"""At which the paper has rules applied."""


def score_by_model(
    proposed: Sequence[Hypotheses],
    *,
    teacher: Endpoint | LocalModel,
    output_dir: Path,
    scoring: Scoring = "model",
    temperature: float = APPLY_TEMPERATURE,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[list[Scored]]:
    """Have a model apply rules to the demonstrations, and the best of a task to its queries.

    Args:
        proposed: The rules of each task.
        teacher: The model, its limits and its budget.
        output_dir: Where its answers stand; what stands is not asked again.
        scoring: `model` has it apply every rule, `auto` those that no executor can read.
        temperature: Of its answers.
        seed: Of a local model's.
        progress: Told applications done, applications in all, and a text.

    Returns:
        The rules of each task in their order, for `summarize` and `training_data`.

    Raises:
        InputError: The teacher's settings are at fault.
        UnfinishedError: The budget is spent or the endpoint is gone; the same call goes on.
    """
    backend = ModelBackend(teacher, output_dir, seed=seed, progress=progress)

    def apply(asked: Sequence[Application]) -> list[str | None]:
        prompts = [each.prompt for each in asked]
        written = backend.write(prompts, samples=1, temperature=temperature)
        return [each.texts[0] for each in written]

    return apply_rules(proposed, apply, scoring=scoring)


def estimate_scoring(
    proposed: Sequence[Hypotheses],
    *,
    teacher: Endpoint | LocalModel,
    output_dir: Path,
    scoring: Scoring = "model",
    temperature: float = APPLY_TEMPERATURE,
    seed: int = 0,
) -> Estimate:
    """Say what `score_by_model` would ask, and ask nothing; the arguments are the same.

    Which rule of a task is put to its queries is not known before: the first stands for it.
    """
    prompts: list[Prompt] = []

    def note(asked: Sequence[Application]) -> list[str | None]:
        start = len(prompts)
        prompts.extend(
            Prompt.of(str(n), each.prompt, system=teacher.system)
            for n, each in enumerate(asked, start)
        )
        return [None] * len(asked)

    apply_rules(proposed, note, scoring=scoring)
    single = teacher.model_copy(update={"samples": 1, "temperature": temperature})
    return estimate_samples(prompts, output_dir=output_dir, teacher=single, seed=seed)
