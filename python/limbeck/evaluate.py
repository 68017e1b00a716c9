"""Evaluate: a student's accuracy on held-out questions, with what it takes to check the numbers.

limbeck evaluate STUDENT --tasks …, the `evaluate` stage of `limbeck run`, or `evaluate(…)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.asking import Answered, Asking
from limbeck.errors import InputError
from limbeck.search.asked import is_induction
from limbeck.search.controls import Control, controls_of
from limbeck.search.evaluate import SearchSummary
from limbeck.summarize import TaskSummary, summarize
from limbeck.tasks import Question, load

if TYPE_CHECKING:
    from limbeck.config import Evaluate

__all__ = ["Summary", "TaskSummary", "evaluate", "questions_of", "table"]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Summary:
    """An evaluation.

    Attributes:
        student: The student's directory.
        method: How it was taught.
        decoding: Every value that decided its answers.
        seed: Of questions and sampling.
        split: Of the questions.
        tasks: The result of each task.
        validation: The result of each task on the questions that were held out of its training;
            these chose the checkpoint and may choose settings, the tests may not.
        controls: Of each induction task, what answers without a student get right.
        searches: Of each task that a search has answered, its rules and what they took.
    """

    student: str
    method: str
    decoding: dict[str, Any]
    seed: int
    split: str
    tasks: dict[str, TaskSummary]
    validation: dict[str, TaskSummary]
    controls: dict[str, dict[str, Control]] = field(default_factory=dict)
    searches: dict[str, SearchSummary] = field(default_factory=dict)


def evaluate(
    student: str | Path,
    *,
    tasks: Sequence[str],
    output_dir: str | Path,
    settings: Evaluate,
    seed: int = 0,
    held_out: Sequence[Question] = (),
    progress: Progress | None = None,
) -> Summary:
    """Measure a student's accuracy.

    Writes `results.jsonl`, one line an answer with its prompt and seed, and `summary.json`; where
    questions were held out of training, their answers stand in `validation.jsonl`; where a search
    answered, the rules of each task with their scores in `search.jsonl`.

    Args:
        student: A student's directory, as `limbeck train` writes it.
        tasks: Tasks or record files, as `limbeck.tasks.load` reads them.
        output_dir: Where the files go; made if missing.
        settings: Which split and how many questions, how to decode, and how many samples vote.
        seed: Of questions and sampling, where the settings name none.
        held_out: Questions of the student's validation split: asked too, or in place of the tests
            where the settings say so.
        progress: Told answers done, answers in all, and a text.

    Raises:
        InputError: A task is unknown, a record malformed, the directory no trained student, or
            the validation split is asked for and empty; or a search is to answer what is no
            induction task.
        UnfinishedError: A server did not answer; the same call goes on.
    """
    from limbeck.generate import read_card

    seed = seed if settings.seed is None else settings.seed
    card = read_card(Path(student))
    if settings.split == "validation":
        questions, held_out = _some(held_out), ()
    else:
        questions = questions_of(tasks, settings, seed=seed)
    asking = Asking(
        student, card, settings, seed=seed, directory=Path(output_dir), progress=progress
    )
    found = asking.ask(questions)
    validation = asking.ask(_askable(held_out, asking))
    summary = Summary(
        student=str(student),
        method=card.get("method", ""),
        decoding=asking.decoding,
        seed=seed,
        split=settings.split,
        tasks=summarize(found.rows, votes_of=settings.vote),
        validation=summarize(validation.rows, votes_of=settings.vote),
        controls=controls_of(questions, tasks, seed=seed),
        searches=found.searches,
    )
    _write(Path(output_dir), found, validation, summary)
    asking.close()
    return summary


def table(summary: Summary) -> str:
    """Return a summary as lines of text, one a task, its vote and its controls."""
    width = max(16, *map(len, summary.tasks))
    lines = [f"{'task':{width}}  accuracy  95 % interval  chance  tokens/answer  correct"]
    for name, task in summary.tasks.items():
        lines.append(
            f"{name:{width}}  {task.accuracy:8.1%}  {task.low:5.1%} – {task.high:5.1%}"
            f"  {task.chance:6.1%}  {task.tokens_per_answer:13.1f}  {task.correct}/{task.samples}"
        )
        if (vote := task.vote) is not None:
            indented = f"  vote of {vote.samples}"
            lines.append(
                f"{indented:{width}}  {vote.accuracy:8.1%}  {vote.low:5.1%} – {vote.high:5.1%}"
                f"  {'':6}  {vote.tokens_per_vote:13.1f}  {vote.correct}/{vote.votes}"
            )
        for control, count in summary.controls.get(name, {}).items():
            share = count.correct / count.questions
            indented = f"  {control}"
            lines.append(
                f"{indented:{width}}  {share:8.1%}  {'':15}  {'':6}  {'':13}"
                f"  {count.correct}/{count.questions}"
            )
        if (search := summary.searches.get(name)) is not None:
            lines.append(f"  {search}")
    return "\n".join(lines)


def questions_of(tasks: Sequence[str], settings: Evaluate, *, seed: int = 0) -> list[Question]:
    """Return the tests of all tasks; of a task that several files hold, each once.

    Args:
        tasks: Tasks or record files, as `limbeck.tasks.load` reads them.
        settings: How many questions a task, and of which seed.
        seed: Of the questions, where the settings name none.

    Raises:
        InputError: None are named, one is unknown, or a record malformed.

    Example:
        >>> from limbeck.config import Evaluate
        >>> len(questions_of(["arithmetic", "coin_flip"], Evaluate(questions=3)))
        6
    """
    if not tasks:
        raise InputError("tasks: none given; name a generated task or a record file")
    seed = seed if settings.seed is None else settings.seed
    loaded = [
        question for task in tasks for question in load(task, limit=settings.questions, seed=seed)
    ]
    return list({(each.task, each.question, each.answer): each for each in loaded}.values())


def _some(held_out: Sequence[Question]) -> Sequence[Question]:
    if not held_out:
        raise InputError(
            "evaluate.split: validation: no question is held out of training; set `data.validation`"
        )
    return held_out


def _askable(held_out: Sequence[Question], asking: Asking) -> Sequence[Question]:
    """Of held-out questions those that can be asked: of training data a search answers none."""
    if asking.inference.mode == "direct":
        return held_out
    return [question for question in held_out if is_induction(question)]


def _write(directory: Path, found: Answered, validation: Answered, summary: Summary) -> None:
    """Write the files beside and rename them, so that a summary always has its results."""
    directory.mkdir(parents=True, exist_ok=True)
    total = directory / "summary.json"
    fresh = {directory / "results.jsonl": _lines(found.rows)}
    if validation.rows:
        fresh[directory / "validation.jsonl"] = _lines(validation.rows)
    if found.rules:
        fresh[directory / "search.jsonl"] = _lines(found.rules)
    fresh[total] = json.dumps(asdict(summary), indent=2, ensure_ascii=False) + "\n"
    for path, text in fresh.items():
        path.with_name(f".{path.name}.tmp").write_text(text, "utf-8")
    for old in (total, directory / "validation.jsonl", directory / "search.jsonl"):
        old.unlink(missing_ok=True)
    for path in fresh:
        path.with_name(f".{path.name}.tmp").replace(path)


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
