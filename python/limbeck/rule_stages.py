"""The stages that bring the rules of induction tasks, where a recipe trains on these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from limbeck.config import Recipe, StudentSpec, Teacher
from limbeck.errors import InputError
from limbeck.induction.prompts import apply_prompt, rule_prompt
from limbeck.induction.task import InductionTask
from limbeck.propose import ask_for_rules, check_rules, write_rules
from limbeck.recipes.phases import phase_recipes
from limbeck.sources import Source
from limbeck.stages import Stage
from limbeck.tasks import Induction, files_of, find
from limbeck.tasks.induction import InductionFile

__all__ = ["needed_rules", "only_rules", "prompt_texts", "rule_sources", "rule_stages"]


def needed_rules(recipe: Recipe) -> tuple[str, ...]:
    """What of the rules a recipe trains on, in any of its phases; empty where on none."""
    trained = phase_recipes(recipe).values() or [recipe]
    return tuple(dict.fromkeys(part for each in trained for part in each.data.rules))


def only_rules(recipe: Recipe) -> bool:
    """Whether nothing else is trained on, so that no answers of `data.tasks` are needed."""
    return all(each.data.rules for each in phase_recipes(recipe).values() or [recipe])


def rule_sources(recipe: Recipe, root: Path) -> list[Source]:
    """The files of a recipe, or of a phase, that the stage `rules` writes."""
    return [
        Source(
            path=str(root / "rules" / f"{part}.jsonl"),
            format="preference" if part == "pairs" else "records",
        )
        for part in recipe.data.rules
    ]


def rule_stages(recipe: Recipe, root: Path, needed: tuple[str, ...]) -> Iterator[Stage]:
    """A model's proposals, if one is asked, and the rules with their scores.

    Args:
        recipe: Any of the run's.
        root: Of the run.
        needed: What its recipes train on.

    Raises:
        InputError: Nobody can propose rules for its tasks, or apply them.
    """
    data, teacher, rules, seed = recipe.data, recipe.teacher, recipe.rules, recipe.seed
    check_rules(data.tasks, rules, teacher)
    student = recipe.student if rules.limits else None
    if isinstance(student, StudentSpec):
        raise InputError(
            "rules.limits: the student's tokenizer is made of the rules, so it cannot count them "
            "before; leave the limits out, or name a student that has one"
        )
    files = tuple(file for task in data.tasks for file in files_of(task))
    shared = {"tasks": data.tasks, "examples": data.examples, "seed": seed}
    proposed: Path | None = None
    if not isinstance(teacher, Teacher) and rules.hypotheses is None:
        asked, at = teacher, root / "hypotheses"
        proposed = at
        yield Stage(
            "hypotheses",
            at,
            files,
            {**shared, "teacher": teacher.model_dump(mode="json")},
            lambda progress: ask_for_rules(
                data.tasks,
                at,
                teacher=asked,
                examples=data.examples,
                seed=seed,
                progress=progress,
            ),
        )
    given = [each for each in (rules.hypotheses, proposed) if each is not None]
    counts = {} if student is None else {"student": student}
    applies = {} if rules.scoring == "exact" else {"teacher": teacher.model_dump(mode="json")}
    yield Stage(
        "rules",
        root / "rules",
        (*files, *given),
        {**shared, "rules": rules.model_dump(mode="json"), "needed": needed, **applies, **counts},
        lambda progress: write_rules(
            data.tasks,
            root / "rules",
            settings=rules,
            teacher=teacher,
            examples=data.examples,
            seed=seed,
            student=student,
            proposed=proposed,
            needed=needed,
            progress=progress,
        ),
    )


def prompt_texts(tasks: tuple[str, ...]) -> list[str]:
    """What induction tasks ask beside their demonstrations, for a tokenizer that knows words."""
    kinds = dict.fromkeys(
        task.kind for task in map(find, tasks) if isinstance(task, Induction | InductionFile)
    )
    return [
        text
        for kind in kinds
        for text in (rule_prompt(InductionTask(kind, "", (), ())), apply_prompt(kind, "", ""))
    ]
