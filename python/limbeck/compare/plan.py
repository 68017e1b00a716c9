"""A comparison file becomes cells: one recipe for each arm and seed, and what the cells share."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from limbeck.config import Recipe, RecipeError, StudentSpec, Teacher, check, suggest
from limbeck.env import usable_cores
from limbeck.errors import InputError
from limbeck.recipes import METHODS
from limbeck.recipes.base import merge
from limbeck.recipes.load import nest, parse_override, place_of, read
from limbeck.section import Section

__all__ = ["Cell", "Comparison", "Settings", "Shared", "plan_comparison"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Settings(Section):
    """The keys of a comparison that no recipe has.

    Attributes:
        methods: The arms: a method's name, or a mapping with `method`, a `name`, and the keys that
            differ from the shared ones.
        seeds: Of the runs; each draws records, initial weights and the order of the data.
        baseline: The arm that others are held against; the first by default.
        contrasts: Pairs of arms that are tested; every other arm against the baseline by default.
            Declare few: the correction pays for each.
        contrast_tasks: Tasks whose questions decide the contrasts, as a target domain's; all by
            default.
        budget: `examples`, each arm trains as its settings say; or `tokens`, as many steps as spend
            the tokens that the baseline of the same seed spent.
        processes: Cells that run at a time; they share the cores.
    """

    methods: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    baseline: str | None = None
    contrasts: tuple[tuple[str, str], ...] | None = None
    contrast_tasks: tuple[str, ...] | None = Field(None, min_length=1)
    budget: Literal["examples", "tokens"] = "examples"
    processes: int = Field(1, ge=1)


OWN_KEYS = tuple(Settings.model_fields)


@dataclass(frozen=True)
class Shared:
    """Records that a teacher writes and a student made from a config, for all cells that can.

    Attributes:
        name: What the user calls it.
        output_dir: Its directory.
        recipe: A recipe with the tasks, the teacher and the student in question.
    """

    name: str
    output_dir: Path
    recipe: Recipe

    @property
    def student(self) -> str:
        """Where the student starts."""
        made = isinstance(self.recipe.student, StudentSpec)
        return str(self.output_dir / "base") if made else str(self.recipe.student)


@dataclass(frozen=True)
class Cell:
    """An arm at a seed: an ordinary run in a directory of its own.

    Attributes:
        arm: The arm's name.
        recipe: Of the run; its records and its student are the shared ones.
        shared: These, None where the arm's records and student are there already.
        needs: The names of cells whose students or costs it reads.
        budget_of: The run whose tokens it may spend; None where its own settings say it.
        encoder_of: The run whose student encodes its targets; None where no arm's does.
    """

    arm: str
    recipe: Recipe
    shared: Shared | None
    needs: tuple[str, ...]
    budget_of: Path | None
    encoder_of: Path | None

    @property
    def name(self) -> str:
        """What the user calls it."""
        return cell_name(self.arm, self.recipe.seed)


@dataclass(frozen=True)
class Comparison:
    """A checked comparison.

    Attributes:
        settings: Its own keys.
        arms: Names of the arms in their order, each with its recipe at the first seed.
        baseline: One of them.
        contrasts: Pairs of arms that are tested.
        cells: In the order of seeds, then of arms.
    """

    settings: Settings
    arms: Mapping[str, Recipe]
    baseline: str
    contrasts: tuple[tuple[str, str], ...]
    cells: tuple[Cell, ...]

    @property
    def output_dir(self) -> Path:
        """Where everything goes."""
        return self.cells[0].recipe.output_dir.parents[2]

    @property
    def threads(self) -> int:
        """Of PyTorch in each process: as OMP_NUM_THREADS says, else together all usable cores."""
        asked = os.environ.get("OMP_NUM_THREADS", "")
        if asked.isdecimal():
            return max(1, int(asked))
        return max(1, usable_cores() // min(self.settings.processes, len(self.cells)))


def cell_name(arm: str, seed: int) -> str:
    """What the cell of an arm and a seed is called."""
    return f"{arm}/seed-{seed}"


def plan_comparison(path: Path, overrides: Sequence[str] = ()) -> Comparison:
    """Read a comparison file.

    Args:
        path: A YAML file: the keys of a recipe without `method`, and those of `Settings`.
        overrides: `key.sub=value`, under what the arms say themselves: these differences are what
            is compared.

    Raises:
        InputError: A key is unknown or out of range, an arm is named that there is none of, or the
            arms answer different questions.
    """
    values, places = read(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: a list; write one mapping with `methods`")
    for keys, value in map(parse_override, overrides):
        values = merge(values, nest(keys, value))
    own = {key: values[key] for key in OWN_KEYS if key in values}
    common = {key: value for key, value in values.items() if key not in OWN_KEYS}
    try:
        if "method" in common:
            raise RecipeError(("method",), "a comparison has several; list them as `methods`")
        settings = check(Settings, own)
        arms = _arms(settings, common)
        baseline = settings.baseline or next(iter(arms))
        contrasts = settings.contrasts
        if contrasts is None:
            contrasts = tuple((arm, baseline) for arm in arms if arm != baseline)
        _check_names(settings, arms, baseline, contrasts)
    except RecipeError as error:
        raise InputError(f"{place_of(error.path, places)}{error}") from None
    cells = tuple(
        _cell(arm, recipe, seed, settings, baseline, arms)
        for seed in settings.seeds
        for arm, recipe in arms.items()
    )
    _check_order(cells)
    return Comparison(settings, arms, baseline, contrasts, cells)


def _check_order(cells: Sequence[Cell]) -> None:
    try:
        TopologicalSorter({cell.name: cell.needs for cell in cells}).prepare()
    except CycleError as error:
        raise InputError(
            f"methods: {' needs '.join(reversed(error.args[1]))}; no student can be trained first: "
            "choose another `targets.encoder`, or another `baseline` for `budget: tokens`"
        ) from None


def _arms(settings: Settings, common: Mapping[str, Any]) -> dict[str, Recipe]:
    arms: dict[str, Recipe] = {}
    for number, arm in enumerate(settings.methods):
        own = {"method": arm} if isinstance(arm, str) else dict(arm)
        at = ("methods", str(number))
        method = own.pop("method", None)
        if method not in METHODS:
            raise RecipeError(at, f"there is no method {method!r}; {suggest(str(method), METHODS)}")
        name = str(own.pop("name", method))
        if not _NAME.fullmatch(name):
            raise RecipeError(at, f"name: {name!r} makes no directory; use letters, digits, . _ -")
        if name in arms:
            raise RecipeError(at, f"name: {name} is given twice; give each arm its own `name`")
        for key in ("seed", "output_dir", "report"):
            if key in own:
                raise RecipeError((*at, key), "the same for all arms; set it beside `methods`")
        try:
            arms[name] = METHODS[method](**merge(common, own))
        except RecipeError as error:
            whose = error.path[:1] and error.path[0] in own
            raise RecipeError((*at, *error.path) if whose else error.path, _fault(error)) from None
    return arms


def _fault(error: RecipeError) -> str:
    return str(error).removeprefix(".".join(error.path)).removeprefix(": ")


def _check_names(
    settings: Settings,
    arms: Mapping[str, Recipe],
    baseline: str,
    contrasts: Sequence[tuple[str, str]],
) -> None:
    for key, names in (("baseline", [baseline]), ("contrasts", [a for c in contrasts for a in c])):
        for name in names:
            if name not in arms:
                raise RecipeError((key,), f"there is no arm {name!r}; {suggest(name, arms)}")
    if any(first == second for first, second in contrasts):
        raise RecipeError(("contrasts",), "an arm against itself; name two")
    if len(set(settings.seeds)) < len(settings.seeds):
        raise RecipeError(("seeds",), "one is given twice, which would count twice; keep one")
    first = next(iter(arms.values()))
    for task in settings.contrast_tasks or ():
        if task not in first.tasks:
            fault = f"no question is of the task {task!r}; {suggest(task, first.tasks)}"
            raise RecipeError(("contrast_tasks",), fault)
    for name, recipe in arms.items():
        if settings.budget == "tokens" and recipe.phases:
            raise RecipeError(
                ("budget",),
                f"tokens, and {name} trains in phases, between which nobody says how to share them "
                "out; use `budget: examples`",
            )
        if not isinstance(recipe.teacher, Teacher):
            raise RecipeError(
                ("teacher", "name"),
                "a model would be asked again for every seed; have it teach once with `limbeck "
                "teach`, and give its records as `data.paths`",
            )
        if not recipe.tasks:
            raise RecipeError(
                ("evaluate", "tasks"), "missing, and the data are files; name what to test on"
            )
        asked = [
            (each.tasks, each.evaluate.split, each.evaluate.questions) for each in (first, recipe)
        ]
        if asked[0] != asked[1]:
            raise InputError(
                f"methods: {name} answers other questions than {next(iter(arms))}, so they make no "
                "pairs; set `evaluate.tasks` and `evaluate.questions` beside `methods`"
            )


def _cell(
    arm: str,
    recipe: Recipe,
    seed: int,
    settings: Settings,
    baseline: str,
    arms: Mapping[str, Recipe],
) -> Cell:
    root = recipe.output_dir
    homes = {name: root / "cells" / name / f"seed-{seed}" for name in arms}
    of_tokens = settings.budget == "tokens" and arm != baseline
    needs = {baseline} if of_tokens else set()
    targets = recipe.targets
    encoder_of: Path | None = None
    if recipe.needs_targets and targets.encoder in arms:
        needs.add(targets.encoder)
        encoder_of = homes[targets.encoder]
        targets = targets.model_copy(update={"encoder": str(encoder_of / "student")})
    # All students answer the same questions, whatever drew their records and weights.
    asked = settings.seeds[0] if recipe.evaluate.seed is None else recipe.evaluate.seed
    evaluate = recipe.evaluate.model_copy(update={"tasks": recipe.tasks, "seed": asked})
    recipe = recipe.model_copy(
        update={"seed": seed, "output_dir": homes[arm], "targets": targets, "evaluate": evaluate}
    )
    return Cell(
        arm=arm,
        recipe=recipe,
        shared=_shared(recipe, root / "shared"),
        needs=tuple(cell_name(name, seed) for name in sorted(needs)),
        budget_of=homes[baseline] if of_tokens else None,
        encoder_of=encoder_of,
    )


def _shared(recipe: Recipe, root: Path) -> Shared | None:
    has_tasks = recipe.data.tasks or recipe.data.unlabelled_tasks
    if not has_tasks and not isinstance(recipe.student, StudentSpec):
        return None
    parts = {key: getattr(recipe, key) for key in ("data", "teacher", "student")}
    values = {
        key: part if isinstance(part, str) else part.model_dump(mode="json")
        for key, part in parts.items()
    }
    text = json.dumps([recipe.seed, values], sort_keys=True)
    name = f"seed-{recipe.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Shared(f"shared/{name}", root / name, recipe)
