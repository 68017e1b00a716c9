"""Evaluate: a student's accuracy on held-out questions, with what it takes to check the numbers.

limbeck evaluate STUDENT --tasks …, the `evaluate` stage of `limbeck run`, or `evaluate(…)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.summarize import TaskSummary, summarize
from limbeck.tasks import Question, load
from limbeck.tasks.answers import parse

if TYPE_CHECKING:
    from limbeck.config import Evaluate
    from limbeck.generate import Generation

__all__ = ["Summary", "TaskSummary", "evaluate", "table"]

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
    """

    student: str
    method: str
    decoding: dict[str, Any]
    seed: int
    split: str
    tasks: dict[str, TaskSummary]
    validation: dict[str, TaskSummary]


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
    questions were held out of training, their answers stand in `validation.jsonl`.

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
            the validation split is asked for and empty.
    """
    from limbeck.generate import Generator

    seed = seed if settings.seed is None else settings.seed
    if settings.split == "validation":
        questions, held_out = _some(held_out), ()
    else:
        questions = _questions(tasks, settings.questions, seed)
    generator = Generator(student)

    def answered(asked: Sequence[Question]) -> list[dict[str, Any]]:
        texts = [question.question for question in asked]
        found = generator.generate(texts, settings=settings, seed=seed, progress=progress)
        return list(_rows(asked, found))

    rows, validation = answered(questions), answered(held_out)
    summary = Summary(
        student=str(student),
        method=generator.method,
        decoding=asdict(generator.decoding(settings)),
        seed=seed,
        split=settings.split,
        tasks=summarize(rows, votes_of=settings.vote),
        validation=summarize(validation, votes_of=settings.vote),
    )
    _write(Path(output_dir), rows, validation, summary)
    return summary


def table(summary: Summary) -> str:
    """Return a summary as lines of text, one a task and one a task's vote."""
    width = max(12, *map(len, summary.tasks))
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
    return "\n".join(lines)


def _questions(tasks: Sequence[str], limit: int | None, seed: int) -> list[Question]:
    """Return the questions of all tasks; of a task that several files hold, each once."""
    if not tasks:
        raise InputError("tasks: none given; name a generated task or a record file")
    loaded = [question for task in tasks for question in load(task, limit=limit, seed=seed)]
    return list({(each.task, each.question, each.answer): each for each in loaded}.values())


def _some(held_out: Sequence[Question]) -> Sequence[Question]:
    if not held_out:
        raise InputError(
            "evaluate.split: validation: no question is held out of training; set `data.validation`"
        )
    return held_out


def judge(question: Question, answer: str | None) -> tuple[str | None, bool]:
    """Return an answer as its task's kind has it, and whether it is right.

    Args:
        question: What was asked.
        answer: What was read of the student's text; None where nothing could be.
    """
    from limbeck._native import answers_equal

    if answer is None:
        return None, False
    parsed = parse(question.kind, answer, question.question)
    return parsed, answers_equal(parsed, question.answer)


def _rows(
    questions: Sequence[Question], generations: Sequence[Generation]
) -> Iterator[dict[str, Any]]:
    """Yield a line of `results.jsonl` for each answer."""
    for generation in generations:
        question = questions[generation.question]
        answer, correct = judge(question, generation.answer)
        yield {
            "task": question.task,
            "id": question.id,
            "question": question.question,
            "prompt": generation.prompt,
            "prompt_tokens": generation.prompt_tokens,
            "gold": question.answer,
            "sample": generation.sample,
            "seed": generation.seed,
            "way": generation.way,
            "text": generation.text,
            "answer": answer,
            "correct": correct,
            "tokens_generated": generation.tokens_generated,
        }


def _write(
    directory: Path,
    rows: Sequence[dict[str, Any]],
    validation: Sequence[dict[str, Any]],
    summary: Summary,
) -> None:
    """Write the files beside and rename them, so that a summary always has its results."""
    directory.mkdir(parents=True, exist_ok=True)
    total = directory / "summary.json"
    fresh = {directory / "results.jsonl": _lines(rows)}
    if validation:
        fresh[directory / "validation.jsonl"] = _lines(validation)
    fresh[total] = json.dumps(asdict(summary), indent=2, ensure_ascii=False) + "\n"
    for path, text in fresh.items():
        path.with_name(f".{path.name}.tmp").write_text(text, "utf-8")
    for old in (total, directory / "validation.jsonl"):
        old.unlink(missing_ok=True)
    for path in fresh:
        path.with_name(f".{path.name}.tmp").replace(path)


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
