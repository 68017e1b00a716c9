"""A run directory, read: what each method's stages left behind, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.config import Recipe
from limbeck.errors import InputError
from limbeck.evaluate import Summary
from limbeck.prepare import Manifest
from limbeck.recipes.phases import phase_recipes
from limbeck.report.formats import (
    DomainProbe,
    Rejection,
    Sample,
    StudentCard,
    TrainerState,
    Training,
    read_json,
    read_lines,
)

if TYPE_CHECKING:
    import numpy as np

STAGES = ("prepared", "targets", "student", "evaluate")
SAMPLED_QUESTIONS = 500  # of a task, among which the generations to show are looked for
SCANNED_REJECTIONS = 10_000  # lines in which an example of each reason is looked for


@dataclass(frozen=True)
class MethodRun:
    """One method of a run; a part is None (or empty) where its stage left nothing.

    Attributes:
        name: The method.
        place: Its directory relative to the run's, "" where they are the same.
        recipe: Its recipe.
        stages: Whether each stage's directory is there; `targets` only where the recipe needs it.
        manifest: What preparation counted.
        lengths: How many examples have n tokens, at index n.
        rejections: The first rejected candidate of each reason.
        training: What training cost.
        history: What the trainer logged, in the order of its steps.
        summary: Accuracy by task.
        probe: What the states tell of the domain.
        samples: The first sample of the first questions of each task.
    """

    name: str
    place: str
    recipe: Recipe | None
    stages: Mapping[str, bool]
    manifest: Manifest | None
    lengths: np.ndarray | None
    rejections: tuple[Rejection, ...]
    training: Training | None
    history: tuple[dict[str, Any], ...]
    summary: Summary | None
    probe: DomainProbe | None
    samples: Mapping[str, tuple[Sample, ...]]

    def curve(self, key: str) -> tuple[list[int], list[float]]:
        """Steps and the values of `key` logged at them."""
        logged = [each for each in self.history if key in each and "step" in each]
        return [int(each["step"]) for each in logged], [float(each[key]) for each in logged]


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        directory: Where it is.
        title: The report's title.
        generations: How many questions of each task to show the answers of.
        recipe_text: `recipe.yaml` as it stands, None where there is none.
        records: How many records the teacher wrote, None where none were generated.
        methods: In the order of the recipe.
    """

    directory: Path
    title: str
    generations: int
    recipe_text: str | None
    records: int | None
    methods: tuple[MethodRun, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that any method was evaluated on, in the order of evaluation."""
        summaries = [each.summary for each in self.methods if each.summary]
        return tuple(dict.fromkeys(task for each in summaries for task in each.tasks))


def collect(run_dir: Path) -> Run:
    """Read a run directory.

    Args:
        run_dir: The `output_dir` of a run of one or several methods, finished or not.

    Raises:
        InputError: It is no run directory, or a file in it is damaged.
    """
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: no such directory; give the output_dir of a run")
    recipes = _recipes(run_dir)
    methods = _places(run_dir, recipes)
    if not methods:
        raise InputError(
            f"{run_dir}: no run in it (neither recipe.yaml nor {', '.join(STAGES)}); "
            "give the output_dir of a run"
        )
    recipe_file = run_dir / "recipe.yaml"
    records = run_dir / "teach" / "records.jsonl"
    first = recipes[0].report if recipes else None
    return Run(
        directory=run_dir,
        title=first.title if first else "limbeck",
        generations=first.generations if first else 4,
        recipe_text=recipe_file.read_text("utf-8") if recipes else None,
        records=_count_lines(records) if records.exists() else None,
        methods=tuple(_method(run_dir, *each) for each in methods),
    )


def _recipes(run_dir: Path) -> tuple[Recipe, ...]:
    from limbeck.recipes.load import load

    path = run_dir / "recipe.yaml"
    return load(path) if path.exists() else ()


def _places(run_dir: Path, recipes: tuple[Recipe, ...]) -> list[tuple[str, str, Recipe | None]]:
    """Name, place and recipe of each method."""
    if len(recipes) == 1:
        return [(recipes[0].method, "", recipes[0])]
    if recipes:
        return [(recipe.method, recipe.method, recipe) for recipe in recipes]
    if _has_stage(run_dir):
        return [(_trained_method(run_dir) or run_dir.resolve().name, "", None)]
    within = sorted(path for path in run_dir.iterdir() if path.is_dir() and _has_stage(path))
    return [(path.name, path.name, None) for path in within]


def _has_stage(path: Path) -> bool:
    return any((path / stage).is_dir() for stage in STAGES)


def _trained_method(path: Path) -> str | None:
    card = read_json(StudentCard, path / "student" / "limbeck.json")
    return card.method if card else None


def _method(run_dir: Path, name: str, place: str, recipe: Recipe | None) -> MethodRun:
    at = run_dir / place
    stages = {stage: (at / stage).is_dir() for stage in STAGES}
    if not stages["targets"] and not (recipe and recipe.needs_targets):
        del stages["targets"]
    manifest = read_json(Manifest, at / "prepared" / "manifest.json")
    students = [*_earlier(at, recipe), at / "student"]
    return MethodRun(
        name=name,
        place=place,
        recipe=recipe,
        stages=stages,
        manifest=manifest,
        lengths=_lengths(at / "prepared") if manifest and manifest.rows else None,
        rejections=_rejections(at / "prepared" / "rejected.jsonl", manifest),
        training=_training(students),
        history=_history(students),
        summary=read_json(Summary, at / "evaluate" / "summary.json"),
        probe=read_json(DomainProbe, at / "probe.json"),
        samples=_samples(at / "evaluate" / "results.jsonl"),
    )


def _earlier(at: Path, recipe: Recipe | None) -> list[Path]:
    """The students of all phases but the last, whose student is the method's."""
    names = list(phase_recipes(recipe))[:-1] if recipe else []
    return [at / "phases" / name / "student" for name in names]


def _training(students: list[Path]) -> Training | None:
    """What training cost in all phases; None where the last has not ended."""
    spent = [read_json(Training, student / "training.json") for student in students]
    last, earlier = spent[-1], [each for each in spent[:-1] if each]
    if last is None or not earlier:
        return last
    sums = {key: sum(getattr(each, key) for each in (*earlier, last)) for key in Training.SPENT}
    return last.model_copy(update=sums)


def _history(students: list[Path]) -> tuple[dict[str, Any], ...]:
    """What was logged in all phases, the steps of each counted on from those before."""
    found: list[dict[str, Any]] = []
    before = 0
    for student in students:
        state = read_json(TrainerState, student / "trainer_state.json")
        logs = state.log_history if state else ()
        found += [{**log, "step": before + log["step"]} if "step" in log else log for log in logs]
        before = max((int(log["step"]) for log in found if "step" in log), default=before)
    return tuple(found)


def _lengths(prepared: Path) -> np.ndarray:
    import numpy as np

    from limbeck.arrow import row_batches

    counts = np.zeros(1, dtype=np.int64)
    for batch in row_batches(prepared):
        more = np.bincount(batch.column("example_lengths").flatten().to_numpy())
        longer, shorter = (more, counts) if len(more) > len(counts) else (counts, more)
        counts = longer.astype(np.int64)
        counts[: len(shorter)] += shorter
    return counts


def _rejections(path: Path, manifest: Manifest | None) -> tuple[Rejection, ...]:
    reasons = len(manifest.records.rejected) if manifest else 0
    first: dict[str, Rejection] = {}
    for rejection in islice(read_lines(Rejection, path), SCANNED_REJECTIONS):
        first.setdefault(rejection.reason, rejection)
        if len(first) == reasons:
            break
    return tuple(first.values())


def _samples(path: Path) -> dict[str, tuple[Sample, ...]]:
    by_task: dict[str, dict[str | int, Sample]] = {}
    for sample in read_lines(Sample, path):
        seen = by_task.setdefault(sample.task, {})
        if len(seen) < SAMPLED_QUESTIONS:
            seen.setdefault(sample.id, sample)
    return {task: tuple(seen.values()) for task, seen in by_task.items()}


def _count_lines(path: Path) -> int:
    count = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            count += block.count(b"\n")
    return count
