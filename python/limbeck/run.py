"""The whole way: records → prepared → targets → student → evaluation → report.

limbeck run recipe.yaml        # or no recipe: the embedded default
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from limbeck.config import Recipe, StudentSpec, Targets, Teacher
from limbeck.errors import InputError, UnfinishedError
from limbeck.evaluate import evaluate
from limbeck.lines import records as read_records
from limbeck.model import check_student
from limbeck.prepare import Manifest, expand, few_steps, prepare
from limbeck.probe import probe
from limbeck.recipes import METHODS
from limbeck.recipes.load import dump, load
from limbeck.report import report
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
from limbeck.sources import Source
from limbeck.stages import Progress, Stage, Watch
from limbeck.targets import targets, untrained
from limbeck.tasks import files_of, held_out_questions, write_questions
from limbeck.tasks import load as load_questions
from limbeck.teach import teach
from limbeck.train import check_settings, train

QUESTIONS_FILE = "questions.jsonl"


def run(
    recipe: str | Path | Recipe | Sequence[Recipe] | None = None,
    *,
    overrides: Sequence[str] = (),
    watch: Watch | None = None,
) -> Path:
    """Walk all stages of a recipe, skipping those whose inputs have not changed.

    Args:
        recipe: A YAML file, a recipe, several recipes that differ in method, or None for the
            embedded default.
        overrides: `key.sub=value` on top of a file.
        watch: Told of each stage as it begins and of its progress.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: The recipe or its inputs are at fault; said before the work where it can be.
    """
    recipes = _recipes(recipe, overrides)
    stages = plan(recipes)
    root = recipes[0].output_dir
    root.mkdir(parents=True, exist_ok=True)
    (root / "recipe.yaml").write_text(dump(recipes), "utf-8")
    walk(stages, watch)
    return report(root)


def walk(stages: Iterable[Stage], watch: Watch | None = None) -> None:
    """Walk stages in their order, skipping those whose inputs have not changed."""
    for stage in stages:
        done = stage.is_done()
        with watch(stage, done) if watch else nullcontext(_silent) as progress:
            if not done:
                stage.walk(progress)


def plan(recipes: Sequence[Recipe]) -> list[Stage]:
    """The stages of a run in the order they are walked.

    Args:
        recipes: One a method; they share data, teacher, student, seed and output directory.

    Raises:
        InputError: The recipes do not belong together, or one of them cannot be walked.
    """
    _check_together(recipes)
    check_student(recipes[0].student)
    data = recipes[0].data
    tested = [task for recipe in recipes for task in recipe.tasks]
    for task in {*data.tasks, *data.unlabelled_tasks, *tested}:
        load_questions(task, limit=1)  # an unknown task or a broken file is better found now
    first, root = recipes[0], recipes[0].output_dir
    stages = []
    records = expand(first.data.sources) if first.data.paths else []
    for recipe in recipes:
        _check_apart(recipe, records)
    stages += plan_shared(first, root, records)
    records = shared_sources(first, root, records)
    start = str(root / "base") if isinstance(first.student, StudentSpec) else first.student
    for recipe in recipes:
        output_dir = root / recipe.method if len(recipes) > 1 else root
        stages += _method(recipe, records, start, output_dir, [each.method for each in recipes])
    return stages


def plan_shared(recipe: Recipe, root: Path, records: Sequence[Source]) -> list[Stage]:
    """The stages that do not depend on the method: records of tasks, a student from a config.

    Args:
        recipe: Any of the run's.
        root: Where `teach/` and `base/` go.
        records: The record files, where no tasks make them; a model teaches their questions.
    """
    stages = []
    sources = shared_sources(recipe, root, records)
    if _is_taught(recipe):
        labelled = [source for source in records if source.labelled]
        stages.append(_teach(recipe, labelled, root / "teach"))
    if recipe.data.unlabelled_tasks:
        stages.append(_questions(recipe, root / QUESTIONS_FILE))
    if isinstance(recipe.student, StudentSpec):
        stages.append(_base(recipe.student, recipe.seed, sources, root / "base"))
    return stages


def _method(
    recipe: Recipe, records: list[Source], start: str, output_dir: Path, methods: list[str]
) -> Iterator[Stage]:
    label = f"{recipe.method}/" if len(methods) > 1 else ""
    check_settings(recipe.train)
    prepared = output_dir / "prepared"
    if needs_route(recipe):
        labelled = [source for source in records if source.labelled]
        yield from _route(recipe, labelled, start, output_dir / "route", f"{label}route")
        files = routed_files(labelled, output_dir / "route" / "records")
        routed = [
            source.model_copy(update={"path": str(path), "format": "records"})
            for source, path in zip(labelled, files, strict=True)
        ]
        records = [*routed, *(source for source in records if not source.labelled)]
    yield _prepared(recipe, records, start, prepared, f"{label}prepared")
    cached = None
    if recipe.needs_targets:
        settings = _named_encoder(recipe, output_dir, methods)
        encoder = start if settings.encoder == "student" else settings.encoder
        cached = output_dir / "targets"
        others = [output_dir.with_name(name) for name in methods if name != recipe.method]
        yield Stage(
            f"{label}targets",
            cached,
            (prepared, encoder),
            {**_values(settings), "seed": recipe.seed},
            lambda progress: targets(
                prepared,
                student=start,
                output_dir=cached,
                settings=settings,
                seed=recipe.seed,
                reuse=[root / "targets" for root in others],
                progress=progress,
            ),
        )
    student = output_dir / "student"
    yield _student(recipe, prepared, cached, start, student, f"{label}student")
    if recipe.is_probed:
        yield _probe(recipe, prepared, start, student, output_dir / "probe.json", f"{label}probe")
    if recipe.tasks:
        yield Stage(
            f"{label}evaluate",
            output_dir / "evaluate",
            (student, prepared / "validation.jsonl", *_files(recipe.tasks)),
            {
                "tasks": recipe.tasks,
                "seed": recipe.seed,
                "validation_questions": recipe.train.validation_questions,
                **_values(recipe.evaluate),
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


def _prepared(recipe: Recipe, records: list[Source], start: str, output: Path, name: str) -> Stage:
    return Stage(
        name,
        output,
        (*(source.path for source in records), start),
        {
            "tokenizer": start,
            **_values(recipe.prepare),
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
        {"student": start, "seed": recipe.seed, **_values(recipe.train)},
        lambda progress: train(
            prepared,
            student=start,
            output_dir=output,
            settings=recipe.train,
            targets=cached,
            method=recipe.method,
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
        {"templates": _values(recipe.prepare)["template"], "split": split},
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
        {"seed": seed, **_values(recipe.probe)},
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


def shared_sources(recipe: Recipe, root: Path, records: Sequence[Source]) -> list[Source]:
    """What is prepared, that which `plan_shared` has written in place of what it was made of.

    Args:
        recipe: Any of the run's.
        root: As for `plan_shared`.
        records: Likewise.
    """
    labelled = [source for source in records if source.labelled]
    if _is_taught(recipe):
        labelled = [Source(path=str(root / "teach" / "records.jsonl"))]
    asked = [source for source in records if not source.labelled]
    if recipe.data.unlabelled_tasks:
        asked.append(Source(path=str(root / QUESTIONS_FILE), labelled=False))
    return [*labelled, *asked]


def _questions(recipe: Recipe, output: Path) -> Stage:
    data = recipe.data
    return Stage(
        "questions",
        output,
        _files((*data.unlabelled_tasks, *data.tasks)),
        {
            "tasks": data.unlabelled_tasks,
            "also_tested": data.tasks,
            "examples": data.examples,
            "seed": recipe.seed,
        },
        lambda progress: write_questions(
            data.unlabelled_tasks,
            output,
            examples=data.examples,
            seed=recipe.seed,
            also_tested=data.tasks,
            progress=progress,
        ),
    )


def _is_taught(recipe: Recipe) -> bool:
    """Whether a teacher writes the records: of tasks always, of files where it is a model."""
    return bool(recipe.data.tasks) or not isinstance(recipe.teacher, Teacher)


def _teach(recipe: Recipe, records: Sequence[Source], output: Path) -> Stage:
    for source in records:
        if source != Source(path=source.path):
            raise InputError(
                f"data.paths: {source.path}: says more than a path, and its questions go to "
                f"{recipe.teacher.name}; give JSON lines with `question`, or teach first and give "
                "the records"
            )
    paths = tuple(source.path for source in records)

    def action(progress: Progress) -> None:
        taught = teach(
            recipe.data.tasks or paths,
            output_dir=output,
            teacher=recipe.teacher,
            examples=recipe.data.examples,
            seed=recipe.seed,
            progress=progress,
        )
        if missed := taught.failed.get("unanswered"):
            raise UnfinishedError(
                f"{output / 'failed.jsonl'}: {missed} answers could not be had; run the same "
                "command to go on"
            )

    return Stage(
        "teach",
        output,
        (*_files(recipe.data.tasks), *paths),
        {"data": _values(recipe.data), "teacher": _values(recipe.teacher), "seed": recipe.seed},
        action,
    )


def _base(spec: StudentSpec, seed: int, records: Sequence[Source], output: Path) -> Stage:
    paths = [Path(source.path) for source in records]

    def create(_: Progress) -> None:
        from limbeck.model import create_student

        create_student(spec, paths, output, seed=seed)

    return Stage("base", output, tuple(paths), {"student": _values(spec), "seed": seed}, create)


def _recipes(
    recipe: str | Path | Recipe | Sequence[Recipe] | None, overrides: Sequence[str]
) -> tuple[Recipe, ...]:
    if recipe is None or isinstance(recipe, str | Path):
        return load(Path(recipe) if recipe is not None else None, overrides)
    if overrides:
        raise InputError("overrides: they change a file's keys; give the recipe its own values")
    return (recipe,) if isinstance(recipe, Recipe) else tuple(recipe)


def _check_together(recipes: Sequence[Recipe]) -> None:
    if not recipes:
        raise InputError("method: there is none; name at least one")
    methods = [recipe.method for recipe in recipes]
    if len(set(methods)) < len(methods):
        raise InputError(f"method: {', '.join(methods)}: given twice; name each once")
    for key in ("data", "teacher", "student", "seed", "output_dir"):
        if any(getattr(recipe, key) != getattr(recipes[0], key) for recipe in recipes):
            raise InputError(f"{key}: differs between methods of one run; make it the same")


def _files(tasks: Sequence[str]) -> tuple[str, ...]:
    return tuple(file for task in tasks for file in files_of(task))


def _check_apart(recipe: Recipe, sources: Sequence[Source]) -> None:
    """Refuse to test on a training file whose records do not say what is for tests."""
    trained = {Path(source.path).resolve() for source in sources if source.path != "-"}
    for task in recipe.tasks:
        for file in map(Path, files_of(task)):
            if file.resolve() not in trained:
                continue
            for number, record in read_records(file):
                if record.get("split") is None:
                    raise InputError(
                        f"{file}:{number}: split: missing, and the file is both trained on and "
                        "tested on; give its records `split: train` or `split: test`, or name "
                        "another file"
                    )


def _values(section: BaseModel) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _silent(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""
