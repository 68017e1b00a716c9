"""The command line: arguments in, one stage function called, its result shown.

Exit codes: 0 done, 1 failed, 2 bad input (`place: what is wrong; what to do`, without a traceback).
"""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.console import bar, err, listening, out, print_whole, watching
from limbeck.errors import InputError, UnfinishedError
from limbeck.score_command import RecipeFile, score
from limbeck.visible import visible

if TYPE_CHECKING:
    from limbeck.config import Recipe, SectionT
    from limbeck.teach import Sampled, Taught

app = typer.Typer(
    name="limbeck",
    help="Distil a large model's chain-of-thought reasoning into a small language model.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key.sub=value changes to the recipe.", metavar="KEY=VALUE"),
]
OutputDir = Annotated[Path, typer.Option("--output-dir", help="Directory to write.")]


def main() -> None:
    """Run the command line; the entry point of the `limbeck` script."""
    try:
        app()
    except InputError as error:
        err().print(f"limbeck: {visible(str(error))}", style="red", markup=False)
        sys.exit(2)
    except (OSError, UnfinishedError) as error:
        err().print(f"limbeck: {visible(str(error))}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        err().print("limbeck: interrupted; what was finished stands", style="red")
        sys.exit(130)


@app.command()
def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="A recipe file (none: the embedded default), then key.sub=value."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Show the stages and stop.")] = False,
) -> None:
    """Walk all stages of a recipe and write a report."""
    from limbeck.recipes.load import load
    from limbeck.report import results_table
    from limbeck.run import plan
    from limbeck.run import run as walk

    arguments = arguments or []
    file = Path(arguments[0]) if arguments and "=" not in arguments[0] else None
    recipes = load(file, arguments[1:] if file else arguments)
    if dry_run:
        for stage in plan(recipes):
            state = "done" if stage.is_done() else "to do"
            out().print(f"{state:6} {stage.name:24} {stage.output}", markup=False)
        for recipe in recipes:
            out().print(f"memory {recipe.method:24} {_memory(recipe)}", markup=False)
        return
    with watching() as watch:
        page = walk(recipes, watch=watch)
    print_whole(results_table(recipes[0].output_dir))
    out().print(f"report: {page}", markup=False)


def _memory(recipe: Recipe) -> str:
    """What training takes on a GPU, or why that is not known."""
    from limbeck.footprint import footprint

    try:
        return str(footprint(recipe))
    except InputError as error:
        return f"not known; {error}"


@app.command()
def teach(
    sources: Annotated[
        list[str], typer.Argument(help="Tasks, or JSON lines with `question`; see --prompts.")
    ],
    output_dir: OutputDir,
    model: Annotated[
        str | None, typer.Option(help="Name at the endpoint; with --local, path or hub name.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Of an OpenAI-compatible API, up to /v1.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Run the model here.")] = False,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Sources hold `prompt`; all samples count.")
    ] = False,
    samples: Annotated[
        int | None, typer.Option(help="Right answers wanted of a question, or samples of a prompt.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="What the whole job may cost; needs prices.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens the whole job may take, prompts included.")
    ] = None,
    examples: Annotated[int, typer.Option(help="Questions of each generated task.")] = 6000,
    recipe: RecipeFile = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the teacher section.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of generated questions and a local model.")] = 0,
    dry_run: Annotated[bool, typer.Option(help="Show the estimate and stop.")] = False,
) -> None:
    """Have a teacher write rationales, until enough of them reach the right answer.

    What is cut off or out of budget goes on when the same command is run again; nothing is asked
    twice. Keys come from the environment. Without a model, an oracle teaches generated tasks.
    """
    from limbeck.config import Teacher
    from limbeck.teach import estimate, estimate_samples, read_prompts, sample
    from limbeck.teach import teach as teach_questions
    from limbeck.teach.choose import choose_teacher

    teacher = choose_teacher(
        recipe,
        overrides or [],
        local=local,
        prompts=prompts,
        chosen={
            "model": model,
            "base_url": base_url,
            "samples": samples,
            "max_cost": max_cost,
            "max_tokens": max_tokens,
        },
    )
    asked = read_prompts([Path(source) for source in sources]) if prompts else []
    place: dict[str, Any] = {"output_dir": output_dir, "seed": seed}
    if dry_run:
        if isinstance(teacher, Teacher):
            raise InputError("teacher: an oracle takes nothing; give --model, or leave --dry-run")
        if prompts:
            expected = estimate_samples(asked, teacher=teacher, **place)
        else:
            expected = estimate(sources, teacher=teacher, examples=examples, **place)
        out().print(str(expected), markup=False)
        return
    with bar("teach") as progress:

        def tell(done: int, total: int, text: str) -> None:
            if done == 0:
                err().print(f"teach: {text}", markup=False)
            progress(done, total, text)

        if prompts:
            if isinstance(teacher, Teacher):
                raise InputError("teacher.name: an oracle knows no prompts; give --model")
            result: Sampled | Taught = sample(asked, teacher=teacher, progress=tell, **place)
        else:
            result = teach_questions(
                sources, teacher=teacher, examples=examples, progress=tell, **place
            )
    out().print(str(result), markup=False)
    if result.failed:
        err().print(
            f"limbeck: {output_dir / 'failed.jsonl'}: what could not be had; run the same command "
            "to try again",
            style="red",
            markup=False,
        )
        sys.exit(1)


@app.command()
def prepare(
    paths: Annotated[list[str], typer.Argument(help="Files of records, globs, or -.")],
    tokenizer: Annotated[str, typer.Option(help="tokenizer.json, model directory or hub name.")],
    output_dir: OutputDir,
    recipe: RecipeFile = None,
    template: Annotated[str | None, typer.Option(help="Template: answer-first, …")] = None,
    eos_token: Annotated[str | None, typer.Option(help="Token that ends a text.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a packed row.")] = None,
    split: Annotated[str | None, typer.Option(help="Split whose records are taken.")] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share of the questions to hold out.")
    ] = None,
    format: Annotated[str, typer.Option(help="Of the records; auto asks the first ones.")] = "auto",
    threads: Annotated[int, typer.Option(help="0 takes all cores.")] = 0,
    strict: Annotated[bool, typer.Option(help="Stop at the first malformed record.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing output.")] = False,
    dry_run: Annotated[
        bool, typer.Option(help="Show what each filter would drop, and write nothing.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the prepare section.")
    ] = None,
) -> None:
    """Turn rationale records into packed, span-labelled token rows."""
    from limbeck.config import Prepare, Train, check
    from limbeck.prepare import few_steps, summary
    from limbeck.prepare import prepare as prepare_records
    from limbeck.recipes.load import load_training, override
    from limbeck.sources import Source

    # Else Python's last collection walks all that the imports made: 26 ms of a run's 378 ms of
    # processor time without records.
    atexit.register(gc.freeze)
    whole = load_training(recipe) if recipe else None
    chosen: dict[str, Any] = {
        "template": template,
        "eos_token": eos_token,
        "max_length": max_length,
        "split": split,
    }
    if whole and whole.prepare.seed is None:
        chosen["seed"] = whole.seed
    section = check(
        Prepare,
        {
            **(whole.prepare if whole else Prepare()).model_dump(),
            **{key: value for key, value in chosen.items() if value is not None},
        },
    )
    section = override(section, overrides or [])
    with bar("prepare") as progress:
        manifest = prepare_records(
            [check(Source, {"path": path, "format": format}) for path in paths],
            tokenizer=tokenizer,
            output_dir=output_dir,
            recipe=section,
            keep_rationale=whole is not None and whole.needs_targets,
            validation=whole.data.validation if whole and validation is None else validation,
            threads=threads,
            strict=strict,
            overwrite=overwrite,
            dry_run=dry_run,
            progress=progress,
        )
    if manifest.dropped is not None:
        from limbeck.dropped import dropped_table

        out().print(dropped_table(manifest.dropped))
        if not manifest.examples:
            raise InputError(
                f"{', '.join(paths)}: every one of {manifest.records.read} candidates would be "
                "rejected; mend the records or change `prepare`"
            )
    typer.echo(summary(manifest))
    warning = few_steps(manifest.steps, whole.train if whole else Train())
    if warning:
        err().print(f"limbeck: {warning}", style="yellow", markup=False)


@app.command()
def inspect(
    prepared: Annotated[Path, typer.Argument(help="A prepared directory.")],
    index: Annotated[int, typer.Option(help="Which packed row.")] = 0,
    example: Annotated[int | None, typer.Option(help="Only this example, by its id.")] = None,
    recipe: RecipeFile = None,
    table: Annotated[bool, typer.Option(help="One token a line.")] = False,
) -> None:
    """Show a prepared row, each token with its span kind and training weight."""
    from limbeck.inspect import inspect as inspect_row
    from limbeck.inspect import render
    from limbeck.inspect.weights import recipe_weights
    from limbeck.recipes.load import load_stage

    weights = recipe_weights(load_stage(recipe)) if recipe else None
    shown = inspect_row(prepared, index=index, example=example, span_weights=weights)
    out().print(render(shown, table=table))


@app.command()
def train(
    prepared: Annotated[Path, typer.Argument(help="A prepared directory.")],
    student: Annotated[str, typer.Option(help="Model directory or hub name to start from.")],
    output_dir: OutputDir,
    overrides: Overrides = None,
    recipe: RecipeFile = None,
    targets: Annotated[Path | None, typer.Option(help="Cached targets, for PST.")] = None,
    method: Annotated[str, typer.Option(help="Name stored with the student.")] = "",
    seed: Annotated[int, typer.Option(help="Order of the data, dropout, new rows.")] = 0,
) -> None:
    """Train a student on prepared rows."""
    from limbeck.config import Train
    from limbeck.recipes.load import load_training
    from limbeck.train import train as train_student

    inference = load_training(recipe).inference if recipe else None
    settings = _section(Train(), "train", recipe, overrides)
    with bar("train") as progress:
        path = train_student(
            prepared,
            student=student,
            output_dir=output_dir,
            settings=settings,
            targets=targets,
            method=method,
            inference=inference,
            seed=seed,
            progress=progress,
        )
    out().print(f"student: {path}", markup=False)


@app.command()
def targets(
    prepared: Annotated[Path, typer.Argument(help="A prepared directory that keeps rationales.")],
    student: Annotated[str, typer.Option(help="The starting student.")],
    output_dir: OutputDir,
    overrides: Overrides = None,
    recipe: RecipeFile = None,
    seed: Annotated[int, typer.Option(help="Of the control `permuted`.")] = 0,
) -> None:
    """Cache the frozen encoder's states of the rationales.

    Their size is told before anything is written; a run that was cut off goes on.
    """
    from limbeck.config import Targets
    from limbeck.targets import targets as cache_targets

    settings = _section(Targets(), "targets", recipe, overrides)
    with bar("targets") as progress:

        def tell(done: int, total: int, text: str) -> None:
            if done == 0:
                err().print(f"targets: {text}", markup=False)
            progress(done, total, text)

        path = cache_targets(
            prepared,
            student=student,
            output_dir=output_dir,
            settings=settings,
            seed=seed,
            progress=tell,
        )
    out().print(f"targets: {path}", markup=False)


@app.command()
def generate(
    student: Annotated[Path, typer.Argument(help="A trained student directory.")],
    questions: Annotated[
        list[str] | None, typer.Argument(help="Questions; - or none reads one a line from stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Questions: .jsonl records, or text, one a line.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object an answer.")] = False,
    vote: Annotated[
        int | None, typer.Option(help="Sample so many answers and give the commonest.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the evaluate section.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
) -> None:
    """Answer questions as the student was taught to, as they come."""
    from limbeck.answering import answers
    from limbeck.config import Evaluate
    from limbeck.questions import read_questions

    chosen = [*(overrides or []), *([] if vote is None else [f"vote={vote}"])]
    settings = _section(Evaluate(), "evaluate", None, chosen)
    asked = read_questions(questions or [], file, None if sys.stdin.isatty() else sys.stdin)
    for line in answers(student, asked, settings=settings, seed=seed, as_json=json):
        # At once: who reads a pipe should see each batch when it is done.
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@app.command()
def evaluate(
    student: Annotated[Path, typer.Argument(help="A trained student directory.")],
    tasks: Annotated[str, typer.Option(help="Comma-separated task names or record files.")],
    output_dir: OutputDir = Path("evaluate"),
    overrides: Overrides = None,
    recipe: RecipeFile = None,
    seed: Annotated[int, typer.Option(help="Of questions and sampling.")] = 0,
) -> None:
    """Measure a student's accuracy on held-out questions."""
    from limbeck.config import Evaluate
    from limbeck.evaluate import evaluate as evaluate_student
    from limbeck.evaluate import table

    settings = _section(Evaluate(), "evaluate", recipe, overrides)
    with bar("evaluate") as progress:
        summary = evaluate_student(
            student,
            tasks=[task for task in tasks.split(",") if task],
            output_dir=output_dir,
            settings=settings,
            seed=seed,
            progress=progress,
        )
    out().print(table(summary), markup=False)


@app.command()
def compare(
    file: Annotated[Path, typer.Argument(help="A recipe with `methods` and `seeds`.")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option(help="Show cells and estimate, and stop.")] = False,
) -> None:
    """Train and test several methods at several seeds, and say what can be concluded."""
    from limbeck.compare import compare as compare_methods
    from limbeck.compare.console import comparison_table
    from limbeck.compare.preview import preview

    with bar("estimate") as progress:
        for line in preview(file, overrides or [], progress):
            err().print(visible(line, keep="\n"), markup=False)
    if dry_run:
        return
    with listening() as listener:
        summary = compare_methods(file, overrides=overrides or [], listener=listener)
    print_whole(comparison_table(summary))
    if summary.failed:
        sys.exit(1)


app.command()(score)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="The output directory of a run.")],
    output: Annotated[Path | None, typer.Option(help="Default: report.html in it.")] = None,
) -> None:
    """Draw a run as one self-contained page."""
    from limbeck.report import report as draw

    out().print(f"report: {draw(run_dir, output=output)}", markup=False)


@app.command()
def env() -> None:
    """Print versions and devices, for a bug report."""
    from limbeck.env import env as describe
    from limbeck.env import render

    out().print(render(describe()))


def _section(
    default: SectionT, name: str, recipe: Path | None, overrides: list[str] | None
) -> SectionT:
    """A stage's section: the recipe's where there is one, with the overrides on top."""
    from limbeck.recipes.load import load_stage, override

    section: SectionT = getattr(load_stage(recipe), name) if recipe else default
    return override(section, overrides or [])
