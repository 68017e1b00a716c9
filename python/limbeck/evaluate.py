"""Evaluate: a student's accuracy on held-out questions, with what it takes to check the numbers.

limbeck evaluate STUDENT --tasks …, the `evaluate` stage of `limbeck run`, or `evaluate(…)`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.statistics import measure_accuracy
from limbeck.tasks import Question, load

if TYPE_CHECKING:
    from limbeck.config import Evaluate
    from limbeck.generate import Generation

__all__ = ["Summary", "TaskSummary", "evaluate", "table"]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TaskSummary:
    """How a student did on one task.

    Attributes:
        accuracy: Mean over questions of the mean over their samples.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        questions: How many questions.
        samples: How many answers.
        correct: How many of these are right.
        chance: What always giving the commonest gold answer would score.
        tokens_per_answer: Mean number of tokens generated, the ending one included.
        answered: Share of answers in which an answer could be read.
    """

    accuracy: float
    low: float
    high: float
    questions: int
    samples: int
    correct: int
    chance: float
    tokens_per_answer: float
    answered: float


@dataclass(frozen=True)
class Summary:
    """An evaluation.

    Attributes:
        student: The student's directory.
        method: How it was taught.
        decoding: Every value that decided its answers.
        seed: Of questions and sampling.
        tasks: The result of each task.
    """

    student: str
    method: str
    decoding: dict[str, Any]
    seed: int
    tasks: dict[str, TaskSummary]


def evaluate(
    student: str | Path,
    *,
    tasks: Sequence[str],
    output_dir: str | Path,
    settings: Evaluate,
    seed: int = 0,
    progress: Progress | None = None,
) -> Summary:
    """Measure a student's accuracy.

    Writes `results.jsonl`, one line an answer with its prompt and seed, and `summary.json`.

    Args:
        student: A student's directory, as `limbeck train` writes it.
        tasks: Generated tasks or record files, as `limbeck.tasks.load` reads them.
        output_dir: Where both files go; made if missing.
        settings: Number of questions and how to decode.
        seed: Of questions and sampling.
        progress: Told answers done, answers in all, and a text.

    Raises:
        InputError: A task is unknown, a record malformed, or the directory no trained student.
    """
    from limbeck.generate import Generator

    questions = _questions(tasks, settings.questions, seed)
    generator = Generator(student)
    generations = generator.generate(
        [question.question for question in questions],
        settings=settings,
        seed=seed,
        progress=progress,
    )
    rows = list(_rows(questions, generations))
    summary = Summary(
        student=str(student),
        method=generator.method,
        decoding=asdict(generator.decoding(settings)),
        seed=seed,
        tasks=_summarize(rows),
    )
    _write(Path(output_dir), rows, summary)
    return summary


def table(summary: Summary) -> str:
    """Return a summary as lines of text, one a task."""
    width = max(map(len, summary.tasks))
    lines = [f"{'task':{width}}  accuracy  95 % interval  chance  tokens/answer  correct"]
    for name, task in summary.tasks.items():
        lines.append(
            f"{name:{width}}  {task.accuracy:8.1%}  {task.low:5.1%} – {task.high:5.1%}"
            f"  {task.chance:6.1%}  {task.tokens_per_answer:13.1f}  {task.correct}/{task.samples}"
        )
    return "\n".join(lines)


def _questions(tasks: Sequence[str], limit: int | None, seed: int) -> list[Question]:
    """Return the questions of all tasks; of a task that several files hold, each once."""
    if not tasks:
        raise InputError("tasks: none given; name a generated task or a record file")
    loaded = [question for task in tasks for question in load(task, limit=limit, seed=seed)]
    return list({(each.task, each.question, each.answer): each for each in loaded}.values())


def _rows(
    questions: Sequence[Question], generations: Sequence[Generation]
) -> Iterator[dict[str, Any]]:
    """Yield a line of `results.jsonl` for each answer."""
    from limbeck._native import answers_equal

    for generation in generations:
        question, answer = questions[generation.question], generation.answer
        yield {
            "task": question.task,
            "id": question.id,
            "question": question.question,
            "prompt": generation.prompt,
            "gold": question.answer,
            "sample": generation.sample,
            "seed": generation.seed,
            "text": generation.text,
            "answer": answer,
            "correct": answer is not None and answers_equal(answer, question.answer),
            "tokens_generated": generation.tokens_generated,
        }


def _summarize(rows: Sequence[dict[str, Any]]) -> dict[str, TaskSummary]:
    """Count each task's answers; the rows of a question stand together."""
    return {
        task: _summarize_task([row for row in rows if row["task"] == task])
        for task in dict.fromkeys(row["task"] for row in rows)
    }


def _summarize_task(rows: Sequence[dict[str, Any]]) -> TaskSummary:
    outcomes: dict[tuple[str, str], list[bool]] = {}
    for row in rows:
        outcomes.setdefault((row["question"], row["gold"]), []).append(row["correct"])
    measured = measure_accuracy(list(outcomes.values()))
    golds = Counter(gold.strip().casefold() for _, gold in outcomes)
    return TaskSummary(
        accuracy=measured.accuracy,
        low=measured.low,
        high=measured.high,
        questions=measured.questions,
        samples=measured.samples,
        correct=measured.correct,
        chance=golds.most_common(1)[0][1] / len(outcomes),
        tokens_per_answer=sum(row["tokens_generated"] for row in rows) / len(rows),
        answered=sum(row["answer"] is not None for row in rows) / len(rows),
    )


def _write(directory: Path, rows: Sequence[dict[str, Any]], summary: Summary) -> None:
    """Write both files beside and rename them, so that a summary always has its results."""
    directory.mkdir(parents=True, exist_ok=True)
    results, total = directory / "results.jsonl", directory / "summary.json"
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    fresh = [
        (results, "".join(lines)),
        (total, json.dumps(asdict(summary), indent=2, ensure_ascii=False) + "\n"),
    ]
    for path, text in fresh:
        path.with_name(f".{path.name}.tmp").write_text(text, "utf-8")
    total.unlink(missing_ok=True)
    for path, _ in fresh:
        path.with_name(f".{path.name}.tmp").replace(path)
