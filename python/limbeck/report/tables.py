"""The rows of the report's tables, computed from what was collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.config import Recipe, Teacher
from limbeck.evaluate import TaskSummary
from limbeck.prepare import SourceCounts
from limbeck.recipes.phases import phase_recipes
from limbeck.report import words
from limbeck.report.collect import MethodRun, Run
from limbeck.report.formats import DomainProbe, Rejection, Sample, Training
from limbeck.search.controls import Control

NOT_CURVES = ("step", "epoch", "total_flos", "num_input_tokens_seen")  # of the trainer's log
THROUGHPUT = "tokens_per_second"
HELD_OUT = "eval_accuracy"  # the others of an evaluation are marks in the curve of the same name


@dataclass(frozen=True)
class Result:
    """A method on a task.

    Attributes:
        number: Of the method in the run, which decides its colour.
        method: Its name.
        result: What was measured.
        validation: The same on the questions held out of training, if any are.
        best: Whether none of the others is more accurate, and there are others.
    """

    number: int
    method: str
    result: TaskSummary
    validation: TaskSummary | None
    best: bool

    @property
    def above_chance(self) -> bool:
        """Whether the whole interval is above chance."""
        return self.result.low > self.result.chance


def results(run: Run) -> dict[str, list[Result]]:
    """Each task's results in the order of the methods."""
    tables = {}
    for task in run.tasks:
        found = [
            (number, method.name, method.summary.tasks[task], method.summary.validation.get(task))
            for number, method in enumerate(run.methods)
            if method.summary and task in method.summary.tasks
        ]
        best = max(result.accuracy for _, _, result, _ in found)
        tables[task] = [
            Result(number, name, result, held_out, len(found) > 1 and result.accuracy == best)
            for number, name, result, held_out in found
        ]
    return tables


def controls(run: Run, task: str) -> dict[str, Control]:
    """What answers an induction task without a student; the methods were asked the same."""
    found = (method.summary.controls.get(task) for method in run.methods if method.summary)
    return next((each for each in found if each), {})


def has_votes(run: Run) -> bool:
    """Whether the samples of some method voted."""
    return any(row.result.vote for rows in results(run).values() for row in rows)


def unequal_budgets(run: Run) -> list[str]:
    """What the methods did not spend equally, as `examples seen 1.8-fold`.

    An accuracy is no fair comparison where one method has seen more; it must stand beside it.
    """
    trained = [each.training for each in run.methods if each.training]
    notes = []
    for key, what in (
        ("examples_seen", "examples seen"),
        ("tokens_processed", "tokens processed"),
        ("tokens_trained", "tokens trained"),
        ("seconds", "seconds"),
    ):
        spent = [getattr(each, key) for each in trained]
        if len(spent) > 1 and min(spent) > 0 and max(spent) > 1.1 * min(spent):
            notes.append(f"{what} {max(spent) / min(spent):.1f}-fold")
    return notes


def speed(training: Training) -> float | None:
    """Tokens processed per second of training."""
    return training.tokens_processed / training.seconds if training.seconds > 0 else None


def curve_keys(run: Run) -> tuple[list[str], list[str]]:
    """Keys of the trainers' logs: the total loss with its terms, and all else that was followed."""
    named = [
        term["name"]
        for method in run.methods
        if method.recipe
        for phase in phase_recipes(method.recipe).values() or [method.recipe]
        for term in phase.train.objectives
    ]
    followed = dict.fromkeys(
        key
        for method in run.methods
        for entry in method.history
        for key, value in entry.items()
        if isinstance(value, int | float)
        and (key == HELD_OUT or not key.startswith(("eval_", "train_")))
        and key not in (*NOT_CURVES, THROUGHPUT)
    )
    losses = [key for key in dict.fromkeys(["loss", *named]) if key in followed]
    return losses, [key for key in followed if key not in losses]


def reasons(run: Run) -> list[str]:
    """Why candidates were rejected, the commonest reason first."""
    totals: dict[str, int] = {}
    for method in run.methods:
        if method.manifest:
            for reason, number in method.manifest.records.rejected.items():
                totals[reason] = totals.get(reason, 0) + number
    return sorted((each for each in totals if totals[each]), key=lambda each: -totals[each])


def sources(run: Run) -> list[tuple[list[str], tuple[SourceCounts, ...]]]:
    """The record files with their counts; methods that counted the same stand together."""
    groups: list[tuple[list[str], tuple[SourceCounts, ...]]] = []
    for method in run.methods:
        if method.manifest is None:
            continue
        for names, found in groups:
            if found == method.manifest.sources:
                names.append(method.name)
                break
        else:
            groups.append(([method.name], method.manifest.sources))
    return groups


def rejections(run: Run) -> list[Rejection]:
    """An example of each reason."""
    found = {each.reason: each for method in run.methods for each in method.rejections}
    return [found[reason] for reason in reasons(run) if reason in found]


def samples(run: Run, task: str) -> list[list[tuple[int, MethodRun, Sample]]]:
    """The questions whose answers are shown, each with the answers of all methods.

    The first question of every pattern of right and wrong comes first, in the order of the test,
    then the first of those left; so what is shown is chosen by a rule, not for its looks.
    """
    by_question: dict[str | int, list[tuple[int, MethodRun, Sample]]] = {}
    for number, method in enumerate(run.methods):
        for sample in method.samples.get(task, ()):
            by_question.setdefault(sample.id, []).append((number, method, sample))
    patterns: dict[tuple[tuple[int, bool], ...], str | int] = {}
    for question, answers in by_question.items():
        pattern = tuple((number, sample.correct) for number, _, sample in answers)
        patterns.setdefault(pattern, question)
    chosen = list(dict.fromkeys([*patterns.values(), *by_question]))[: run.generations]
    return [by_question[question] for question in by_question if question in chosen]


def differences(run: Run) -> list[tuple[str, list[str]]]:
    """Keys of recipe and decoding that differ between the methods, with each method's value."""
    flat = [_settings(method) for method in run.methods]
    keys = dict.fromkeys(key for each in flat for key in each)
    rows = [(key, [each.get(key, "–") for each in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _settings(method: MethodRun) -> dict[str, str]:
    recipe = method.recipe.model_dump(mode="json", exclude={"method"}) if method.recipe else {}
    decoding = method.summary.decoding if method.summary else {}
    return dict(_flatten({**recipe, "decoding": decoding}))


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _flatten(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for n, below in enumerate(value):
            # Objectives are known by their names.
            yield from _flatten(
                {k: v for k, v in below.items() if k != "name"} or "default",
                f"{path}.{below.get('name', n)}",
            )
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value)) or "none"
    else:
        yield path, "none" if value is None else str(value)


def targets(run: Run) -> set[str]:
    """Tasks and domains that no method was taught the answers of, though it saw their questions."""
    known = [each.recipe.data for each in run.methods if each.recipe]
    tasks = {task for data in known for task in data.unlabelled_tasks}
    return tasks | {name for each in run.methods if each.probe for name in each.probe.unlabelled}


def probes(run: Run) -> list[tuple[int, MethodRun, DomainProbe, str]]:
    """Number and method of each probe, with each state that was probed."""
    return [
        (number, method, method.probe, place)
        for number, method in enumerate(run.methods)
        if method.probe is not None
        for place in method.probe.states
    ]


def missing(run: Run) -> list[str]:
    """Stages that left nothing, as `pst/evaluate`."""
    return [
        f"{method.place}/{stage}" if method.place else stage
        for method in run.methods
        for stage, there in method.stages.items()
        if not there
    ]


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, in short; the recipe says it all."""
    found = []
    recipe = next((each.recipe for each in run.methods if each.recipe), None)
    sizes = sorted({each.training.parameters for each in run.methods if each.training})
    decodings = [each.summary.decoding for each in run.methods if each.summary]
    if recipe:
        student = recipe.student
        if not isinstance(student, str):
            kind = student.config.get("model_type", "model")
            student = f"{kind} made from a config, untrained"
        if sizes:
            student += f", {' or '.join(map(words.count, sizes))} parameters"
        found += [("Student", student), ("Data", _data(recipe))]
        asked = ", ".join(map(words.task, recipe.data.unlabelled_tasks))
        found += [("Target", f"questions of {asked}, without answers")] if asked else []
        found.append(("Seed", str(recipe.seed)))
    # What differs between the methods stands in a table of its own.
    common = [
        f"{key.replace('_', ' ')} {value}"
        for key, value in (decodings[0].items() if decodings else ())
        if all(each.get(key) == value for each in decodings)
    ]
    if common:
        found.append(("Decoding", ", ".join(common)))
    versions = {
        f"{name} {version}"
        for each in run.methods
        if each.manifest
        for name, version in each.manifest.versions.items()
    }
    return [*found, ("Prepared with", ", ".join(sorted(versions)))] if versions else found


def _data(recipe: Recipe) -> str:
    paths = ", ".join(source.path for source in recipe.data.sources)
    if paths and not isinstance(recipe.teacher, Teacher):
        return f"questions of {paths}; teacher {recipe.teacher.model}"
    if paths:
        return paths
    teacher = recipe.teacher
    tasks = ", ".join(map(words.task, recipe.data.tasks))
    if not isinstance(teacher, Teacher):
        return f"questions of {tasks}; teacher {teacher.model}"
    wrong = f" with {words.percent(teacher.hallucination)} wrong rationales ({teacher.mistakes})"
    return (
        f"{words.count(recipe.data.examples)} generated records of each of {tasks}; teacher "
        f"{teacher.name}{wrong if teacher.hallucination else ''}"
    )
