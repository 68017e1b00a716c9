"""The stages of one method: prepare, targets, train, once or in phases, then probe and evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from limbeck.config import Recipe, StudentSpec, Targets
from limbeck.errors import InputError
from limbeck.evaluate import evaluate
from limbeck.inference import Inference
from limbeck.prepare import Manifest, expand, few_steps, prepare
from limbeck.probe import probe
from limbeck.recipes import METHODS
from limbeck.recipes.phases import phase_recipes
from limbeck.route import (
    deal,
    fold_sources,
    judge,
    judge_recipe,
    needs_route,
    one_sided,
    routed_files,
    write_ways,
)
from limbeck.rule_stages import rule_sources
from limbeck.sources import Source
from limbeck.stages import Stage
from limbeck.targets import targets, untrained
from limbeck.tasks import files_of, held_out_questions
from limbeck.train import check_settings, train

__all__ = ["method_stages", "values"]


def method_stages(
    recipe: Recipe,
    records: list[Source],
    root: Path,
    start: str,
    output_dir: Path,
    methods: list[str],
) -> Iterator[Stage]:
    """One training after the other, and what is asked of the last student.

    Args:
        recipe: The method's.
        records: What the run's methods share.
        root: Of the run.
        start: The starting student.
        output_dir: Of the method.
        methods: Those of the run, in their order.

    Raises:
        InputError: A setting is at fault.
    """
    label = f"{recipe.method}/" if len(methods) > 1 else ""
    phases = phase_recipes(recipe) or {"": recipe}
    last = list(phases)[-1]
    begin = tokenizer = start
    for name, phase in phases.items():
        home = output_dir if name == last else output_dir / "phases" / name
        if phase.data.rules:
            own = rule_sources(phase, root)
        else:
            same = phase.data.paths == recipe.data.paths
            own = records if same else expand(phase.data.sources)
        yield from _trained(
            # The next phase goes on from the adapter itself.
            phase if name == last else _unmerged(phase),
            own,
            starts=(start, begin, tokenizer),
            output_dirs=(output_dir, home),
            label=f"{label}{name}/" if name else label,
            methods=methods,
        )
        begin, tokenizer = str(home / "student"), str(home / "prepared" / "tokenizer")
    prepared, student = output_dir / "prepared", output_dir / "student"
    trained = phases[last]
    if trained.is_probed:
        yield _probe(trained, prepared, start, student, output_dir / "probe.json", f"{label}probe")
    if recipe.tasks:
        yield Stage(
            f"{label}evaluate",
            output_dir / "evaluate",
            (
                student,
                prepared / "validation.jsonl",
                *(file for task in recipe.tasks for file in files_of(task)),
            ),
            {
                "tasks": recipe.tasks,
                "seed": recipe.seed,
                "validation_questions": recipe.train.validation_questions,
                **values(recipe.evaluate),
            },
            lambda progress: evaluate(
                student,
                tasks=list(recipe.tasks),
                output_dir=output_dir / "evaluate",
                settings=recipe.evaluate,
                seed=recipe.seed,
                held_out=held_out_questions(prepared, recipe.train.validation_questions),
                progress=progress,
            ),
        )


def _unmerged(recipe: Recipe) -> Recipe:
    train = recipe.train.model_copy(update={"merge_adapter": False})
    return recipe.model_copy(update={"train": train})


def _trained(
    recipe: Recipe,
    records: list[Source],
    *,
    starts: tuple[str, str, str],
    output_dirs: tuple[Path, Path],
    label: str,
    methods: list[str],
) -> Iterator[Stage]:
    """One training, and all that it needs.

    Args:
        recipe: Of this training alone.
        records: What it trains on.
        starts: The run's starting student, this training's, and the tokenizer.
        output_dirs: Of the method, and of this training.
        label: What stands before the names of its stages.
        methods: Those of the run.
    """
    first, start, tokenizer = starts
    output_dir, home = output_dirs
    check_settings(recipe.train)
    prepared = home / "prepared"
    if needs_route(recipe):
        labelled = [source for source in records if source.labelled]
        yield from _route(recipe, labelled, start, home / "route", f"{label}route")
        files = routed_files(labelled, home / "route" / "records")
        routed = [
            source.model_copy(update={"path": str(path), "format": "records"})
            for source, path in zip(labelled, files, strict=True)
        ]
        records = [*routed, *(source for source in records if not source.labelled)]
    yield _prepared(recipe, records, tokenizer, prepared, f"{label}prepared")
    cached = None
    if recipe.needs_targets:
        settings = _named_encoder(recipe, output_dir, methods)
        encoder = first if settings.encoder == "student" else settings.encoder
        cached = home / "targets"
        others = [output_dir.with_name(name) for name in methods if name != recipe.method]
        yield Stage(
            f"{label}targets",
            cached,
            (prepared, encoder),
            {**values(settings), "seed": recipe.seed},
            lambda progress: targets(
                prepared,
                student=first,
                output_dir=cached,
                settings=settings,
                seed=recipe.seed,
                reuse=[root / "targets" for root in others],
                progress=progress,
            ),
        )
    yield _student(recipe, prepared, cached, start, home / "student", f"{label}student")


def _prepared(recipe: Recipe, records: list[Source], start: str, output: Path, name: str) -> Stage:
    return Stage(
        name,
        output,
        (*(source.path for source in records), start),
        {
            "tokenizer": start,
            **values(recipe.prepare),
            "targets": recipe.needs_targets,
            "validation": recipe.data.validation,
            "sources": [source.model_dump(exclude={"path"}) for source in records],
        },
        lambda progress: prepare(
            records,
            tokenizer=start,
            output_dir=output,
            recipe=recipe,
            overwrite=True,
            progress=progress,
        ),
        lambda: few_steps(Manifest.load(output).steps, recipe.train),
    )


def _student(
    recipe: Recipe, prepared: Path, cached: Path | None, start: str, output: Path, name: str
) -> Stage:
    return Stage(
        name,
        output,
        (prepared, start, *([cached] if cached else [])),
        {
            "student": start,
            "seed": recipe.seed,
            **values(recipe.train),
            **({"inference": values(recipe.inference)} if recipe.inference != Inference() else {}),
        },
        lambda progress: train(
            prepared,
            student=start,
            output_dir=output,
            settings=recipe.train,
            targets=cached,
            method=recipe.method,
            inference=recipe.inference,
            seed=recipe.seed,
            progress=progress,
        ),
    )


def _route(
    recipe: Recipe, records: list[Source], start: str, output_dir: Path, name: str
) -> Iterator[Stage]:
    """The folds, a judge for each, and the records with their ways."""
    route, split = recipe.route, recipe.prepare.split
    judges = judge_recipe(recipe)
    paths = [source.path for source in records]
    dealt = output_dir / "folds"
    yield Stage(
        f"{name}/folds",
        dealt,
        tuple(paths),
        {"folds": route.folds, "split": split, "seed": recipe.seed},
        lambda _: deal(records, dealt, route=route, split=split, seed=recipe.seed),
    )
    homes = [output_dir / f"judge-{fold}" for fold in range(route.folds)]
    for fold, home in enumerate(homes):
        others = [each for each in range(route.folds) if each != fold]
        learnt, own = fold_sources(records, dealt, others), fold_sources(records, dealt, [fold])
        prepared, student, label = home / "prepared", home / "student", f"{name}/{home.name}"
        yield _prepared(judges, learnt, start, prepared, f"{label}/prepared")
        yield _student(judges, prepared, None, start, student, f"{label}/student")
        yield _answers(recipe, student, own, home / "answers", f"{label}/answers")
    routed = output_dir / "records"
    yield Stage(
        f"{name}/records",
        routed,
        (*paths, *(home / "answers" for home in homes)),
        {"templates": values(recipe.prepare)["template"], "split": split},
        lambda _: write_ways(
            records, homes, routed, templates=recipe.prepare.templates, split=split
        ),
        lambda: one_sided(routed),
    )


def _answers(recipe: Recipe, student: Path, fold: list[Source], output: Path, name: str) -> Stage:
    return Stage(
        name,
        output,
        (student, *(source.path for source in fold)),
        {"batch_size": recipe.evaluate.batch_size},
        lambda progress: judge(student, fold, output, settings=recipe.evaluate, progress=progress),
    )


def _named_encoder(recipe: Recipe, output_dir: Path, methods: list[str]) -> Targets:
    """The targets' settings, an encoder that is another method of this run made a path."""
    name = recipe.targets.encoder
    if name == "student" and isinstance(recipe.student, StudentSpec):
        raise untrained("the student")
    if name not in methods and (name not in METHODS or Path(name).exists()):
        return recipe.targets
    if name not in methods[: methods.index(recipe.method)]:
        raise InputError(
            f"targets.encoder: {name} is not trained before {recipe.method}; list it before in "
            "`method`"
        )
    student = output_dir.parent / name / "student"
    return recipe.targets.model_copy(update={"encoder": str(student)})


def _probe(
    recipe: Recipe, prepared: Path, start: str, student: Path, output: Path, name: str
) -> Stage:
    # The starting student's rows of added tokens are drawn as training drew them.
    seed = int(recipe.train.arguments.get("seed", recipe.seed))
    return Stage(
        name,
        output,
        (prepared, start, student),
        {"seed": seed, **values(recipe.probe)},
        lambda progress: probe(
            prepared,
            start=start,
            student=student,
            output=output,
            questions=recipe.probe.questions,
            seed=seed,
            progress=progress,
        ),
    )


def values(section: BaseModel) -> dict[str, Any]:
    """A section as JSON values, which a stage's hash is made of."""
    return section.model_dump(mode="json")
