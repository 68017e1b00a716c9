"""Route: which way each training question is answered, found out by cross-fitting.

The questions are dealt out to folds. A judge is trained for each fold, answer-first, on all others,
and answers the questions of its own: so no question is judged by a student that trained on it.
Where the judge is right the record's `way` is the first template's, else the second's; whether
thinking would help is not asked (arXiv 2404.09170, later revisions; the rule of the labels and
the folds are our reading).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from limbeck.config import Evaluate, Prepare, Recipe, Route, TemplateSpec, Train
from limbeck.errors import InputError
from limbeck.lines import records, text
from limbeck.recipes.templates import template
from limbeck.sources import Source

__all__ = [
    "deal",
    "fold_sources",
    "judge",
    "judge_recipe",
    "needs_route",
    "one_sided",
    "read_ways",
    "routed_files",
    "write_ways",
]

Progress = Callable[[int, int, str], None]

ANSWERS_FILE = "answers.jsonl"
SUMMARY_FILE = "route.json"


def needs_route(recipe: Recipe) -> bool:
    """Whether the ways of the questions are to be found: a student is taught to write gates."""
    if recipe.route.labels == "records":
        return False
    gates = ("{answer_first}", "{think_first}")
    specs = [
        each if isinstance(each, TemplateSpec) else template(each, "plain")
        for each in recipe.prepare.templates
    ]
    return all(spec.completion.startswith(gates) for spec in specs)


def judge_recipe(recipe: Recipe) -> Recipe:
    """How the judges are taught: as the recipe says, but answer-first alone.

    Terms that need targets are left out: what is asked is which questions are hard, and a judge is
    cheaper without.

    Args:
        recipe: A recipe that needs a route.

    Raises:
        InputError: There are not two templates to choose from, or no term is left to train.
    """
    if len(recipe.prepare.templates) != 2:
        raise InputError(
            f"prepare.template: {len(recipe.prepare.templates)} for a route; give two, first that "
            "of the questions which are answered right without thinking"
        )
    terms = tuple(
        {key: value for key, value in term.items() if key != "template"}
        for term in recipe.train.objectives
        if term["name"] == "cross_entropy" and term.get("template") in (None, 0)
    )
    if not terms:
        raise InputError(
            "train.objectives: no cross_entropy for the judges of the route; add one, or set "
            "route.labels: records where these name their way"
        )
    values = recipe.train.model_dump() | {"objectives": terms}
    prepared = recipe.prepare.model_dump() | {"template": recipe.route.template}
    return recipe.model_copy(
        update={
            "prepare": Prepare.model_validate(prepared),
            "train": Train.model_validate(values),
        }
    )


def deal(
    sources: Sequence[Source], output_dir: Path, *, route: Route, split: str, seed: int
) -> Path:
    """Write the records of a split as one directory of files a fold.

    Records of one question share a fold, whatever file they stand in.

    Args:
        sources: Files of the record schema in JSON lines.
        output_dir: Gets `0/0.jsonl`: the records of the first fold in the first file, and so on.
        route: How many folds.
        split: Records that name another are left out.
        seed: Decides who shares a fold.

    Raises:
        InputError: A file or a line is no record, one names its way already, or there are fewer
            questions than folds.
    """
    questions = {
        record["question"].strip()
        for source in sources
        for _, record in _records(Path(source.path), split)
    }
    if len(questions) < route.folds:
        raise InputError(
            f"route.folds: {route.folds} folds of {len(questions)} questions; give fewer folds"
        )
    order = sorted(questions, key=lambda question: _draw(seed, question))
    fold_of = {question: place % route.folds for place, question in enumerate(order)}
    shutil.rmtree(output_dir, ignore_errors=True)
    for number, source in enumerate(sources):
        paths = [_file(output_dir, fold, number) for fold in range(route.folds)]
        with ExitStack() as stack:
            files = [stack.enter_context(_create(path)) for path in paths]
            for _, record in _records(Path(source.path), split):
                files[fold_of[record["question"].strip()]].write(_line(record))
    return output_dir


def fold_sources(sources: Sequence[Source], folds_dir: Path, folds: Sequence[int]) -> list[Source]:
    """The files of some folds, with what is said of the files that they were made of."""
    return [
        source.model_copy(update={"path": str(_file(folds_dir, fold, number)), "format": "records"})
        for fold in folds
        for number, source in enumerate(sources)
    ]


def judge(
    student: Path,
    fold: Sequence[Source],
    output_dir: Path,
    *,
    settings: Evaluate,
    progress: Progress | None = None,
) -> Path:
    """Let a judge answer the questions of its fold, greedily.

    Args:
        student: The judge.
        fold: The fold's files.
        output_dir: Gets `answers.jsonl`, a line for each question and gold answer.
        settings: `batch_size` applies.
        progress: Told answers done, answers in all, and a text.
    """
    from limbeck._native import answers_equal
    from limbeck.generate import Generator

    asked = list(
        dict.fromkeys(
            (record["question"].strip(), str(record["answer"]).strip())
            for source in fold
            for _, record in records(Path(source.path))
        )
    )
    generations = Generator(student).generate(
        [question for question, _ in asked],
        settings=Evaluate(batch_size=settings.batch_size),
        progress=progress,
    )
    lines = [
        {
            "question": question,
            "gold": gold,
            "answer": generation.answer,
            "correct": generation.answer is not None and answers_equal(generation.answer, gold),
            "prompt_tokens": generation.prompt_tokens,
            "tokens_generated": generation.tokens_generated,
        }
        for (question, gold), generation in zip(asked, generations, strict=True)
    ]
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / ANSWERS_FILE).write_text("".join(map(_line, lines)), "utf-8")
    return output_dir


def write_ways(
    sources: Sequence[Source],
    judges: Sequence[Path],
    output_dir: Path,
    *,
    templates: Sequence[str | TemplateSpec],
    split: str,
) -> Path:
    """Write the records again, each with its way, and what finding it has cost.

    A record stands on the line on which it stood; those of other splits are as they were, so that
    what is held out by its split still is. `route.json` counts questions by way, and the tokens of
    the judges: those of their forward passes in training, of prompts, and generated.

    Args:
        sources: The files that were dealt out.
        judges: Directories with `student/` and `answers/` each.
        output_dir: Gets `0.jsonl` for the first file, and so on, and `route.json`.
        templates: That of questions which are answered right at once, and that of the others.
        split: As dealt out.
    """
    at_once, thinking = (each if isinstance(each, str) else each.name for each in templates)
    answers = [answer for path in judges for _, answer in records(path / "answers" / ANSWERS_FILE)]
    ways = {
        (answer["question"], answer["gold"]): at_once if answer["correct"] else thinking
        for answer in answers
    }
    shutil.rmtree(output_dir, ignore_errors=True)
    for source, path in zip(sources, routed_files(sources, output_dir), strict=True):
        with _create(path) as file:
            written = 0
            for number, record in records(Path(source.path)):
                file.write("\n" * (number - 1 - written))
                if (record.get("split") or split) == split:
                    key = (record["question"].strip(), str(record["answer"]).strip())
                    record["way"] = ways[key]
                file.write(_line(record))
                written = number
    trained = [
        json.loads((path / "student" / "training.json").read_text("utf-8")) for path in judges
    ]
    summary = {
        "folds": len(judges),
        "questions": len(ways),
        "ways": {at_once: 0, thinking: 0} | Counter(ways.values()),
        "tokens_processed": sum(each["tokens_processed"] for each in trained),
        "prompt_tokens": sum(int(answer["prompt_tokens"]) for answer in answers),
        "tokens_generated": sum(int(answer["tokens_generated"]) for answer in answers),
    }
    (output_dir / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return output_dir


def routed_files(sources: Sequence[Source], output_dir: Path) -> list[Path]:
    """Where `write_ways` writes the records of each source."""
    return [output_dir / f"{number}.jsonl" for number in range(len(sources))]


def read_ways(output_dir: Path) -> dict[str, int]:
    """How many questions take which way."""
    summary = json.loads((output_dir / SUMMARY_FILE).read_text("utf-8"))
    return dict(summary["ways"])


def one_sided(output_dir: Path) -> str | None:
    """A warning where all questions take one way, so that the gate has nothing to learn."""
    ways = read_ways(output_dir)
    only = [way for way, count in ways.items() if count]
    if len(only) > 1:
        return None
    return (
        f"all {sum(ways.values()):,} questions take the way {only[0]}: the judges find them all "
        "easy or all hard, and the student will always take it; train judges longer, or change "
        "the data"
    )


def _records(path: Path, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a split with their lines, checked as far as routing needs it."""
    for number, record in records(path):
        place = f"{path}:{number}"
        if text(record, "split", place, default=split) != split:
            continue
        text(record, "question", place)
        text(record, "answer", place, number=True)
        if record.get("way") is not None:
            raise InputError(
                f"{place}: way: given already; take it out, or use it with route.labels: records"
            )
        yield number, record


def _file(folds_dir: Path, fold: int, number: int) -> Path:
    return folds_dir / str(fold) / f"{number}.jsonl"


def _create(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="\n")


def _draw(seed: int, question: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{question}".encode(), digest_size=16).digest()


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
