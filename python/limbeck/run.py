"""The whole way: records → prepared → targets → student → evaluation → report.

limbeck run recipe.yaml        # or no recipe: the embedded default
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from limbeck.config import Recipe, StudentSpec, Teacher
from limbeck.errors import InputError, UnfinishedError
from limbeck.lines import records as read_records
from limbeck.method_stages import method_stages, values
from limbeck.model import check_student
from limbeck.prepare import expand
from limbeck.recipes.load import dump, load
from limbeck.report import report
from limbeck.rule_stages import needed_rules, only_rules, prompt_texts, rule_stages
from limbeck.sources import Source
from limbeck.stages import Progress, Stage, Watch
from limbeck.tasks import files_of, write_questions
from limbeck.tasks import load as load_questions
from limbeck.teach import teach

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
    stages: list[Stage] = []
    records = expand(first.data.sources) if first.data.paths else []
    for recipe in recipes:
        _check_apart(recipe, records)
    # A model is not asked for rationales that nobody trains on; an oracle's cost nothing.
    taught = isinstance(first.teacher, Teacher) or not all(map(only_rules, recipes))
    needed = tuple(dict.fromkeys(part for recipe in recipes for part in needed_rules(recipe)))
    if needed:
        stages += rule_stages(first, root, needed)
    stages += plan_shared(first, root, records, taught=taught)
    records = shared_sources(first, root, records)
    start = str(root / "base") if isinstance(first.student, StudentSpec) else first.student
    for recipe in recipes:
        output_dir = root / recipe.method if len(recipes) > 1 else root
        methods = [each.method for each in recipes]
        stages += method_stages(recipe, records, root, start, output_dir, methods)
    return stages


def plan_shared(
    recipe: Recipe, root: Path, records: Sequence[Source], *, taught: bool = True
) -> list[Stage]:
    """The stages that do not depend on the method: records of tasks, a student from a config.

    Args:
        recipe: Any of the run's.
        root: Where `teach/` and `base/` go.
        records: The record files, where no tasks make them; a model teaches their questions.
        taught: Whether a teacher that there is teaches; else all train on the rules of the tasks.
    """
    stages = []
    sources = shared_sources(recipe, root, records)
    if not taught:
        sources = [Source(path=str(root / "rules" / "generation.jsonl"))]
    if taught and _is_taught(recipe):
        labelled = [source for source in records if source.labelled]
        stages.append(_teach(recipe, labelled, root / "teach"))
    if recipe.data.unlabelled_tasks:
        stages.append(_questions(recipe, root / QUESTIONS_FILE))
    if isinstance(recipe.student, StudentSpec):
        texts = prompt_texts(recipe.data.tasks)
        stages.append(_base(recipe.student, recipe.seed, sources, texts, root / "base"))
    return stages


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
        {"data": values(recipe.data), "teacher": values(recipe.teacher), "seed": recipe.seed},
        action,
    )


def _base(
    spec: StudentSpec, seed: int, records: Sequence[Source], texts: Sequence[str], output: Path
) -> Stage:
    paths = [Path(source.path) for source in records]

    def create(_: Progress) -> None:
        from limbeck.model import create_student

        create_student(spec, paths, output, seed=seed, texts=texts)

    settings = {"student": values(spec), "seed": seed, **({"texts": texts} if texts else {})}
    return Stage("base", output, tuple(paths), settings, create)


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
    for key in ("data", "teacher", "rules", "student", "seed", "output_dir"):
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


def _silent(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""
