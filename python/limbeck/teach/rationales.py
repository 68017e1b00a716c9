"""Teach: questions go to a teacher, records come back.

limbeck teach SOURCE… --output-dir DIR, the `teach` stage of `limbeck run`, or `teach(…)`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.config import Teacher
from limbeck.errors import InputError
from limbeck.tasks import write_records
from limbeck.teach.ask import Failure
from limbeck.teach.estimate import Estimate
from limbeck.teach.job import Job, Progress, Spent, opened, publish, publish_failures
from limbeck.teach.judge import Verdict, judge
from limbeck.teach.problems import Problem, read_problems
from limbeck.teach.prompts import asking
from limbeck.teach.reply import Reply
from limbeck.teachers import Endpoint, LocalModel

__all__ = ["Taught", "estimate", "teach"]


@dataclass(frozen=True)
class Taught:
    """What became of some questions.

    Attributes:
        teacher: The model's name.
        questions: How many were asked.
        records: Right rationales, `samples` a question at most.
        unsolved: Questions without any.
        failed: Samples that could not be had, by whether the endpoint refuses them for good.
        wrong: Answers that were not taken, by reason.
        truncated: Answers that were cut off at `max_new_tokens`, of all that stand.
        spent: Tokens and money.
    """

    teacher: str
    questions: int
    records: int
    unsolved: int
    failed: dict[str, int]
    wrong: dict[str, int]
    truncated: int
    spent: Spent

    def __str__(self) -> str:
        """Say it in a line."""
        if not self.spent.answers:
            return f"{self.records:,} records"
        wrong = "".join(f", {count:,} {reason}" for reason, count in self.wrong.items())
        failed = "".join(f", {count:,} {kind}" for kind, count in self.failed.items())
        return (
            f"{self.records:,} records of {self.questions:,} questions, {self.unsolved:,} of them "
            f"without any; not taken: {sum(self.wrong.values()):,}{wrong}{failed}; {self.spent}"
        )


def teach(
    sources: Sequence[str],
    *,
    output_dir: str | Path,
    teacher: Teacher | Endpoint | LocalModel,
    examples: int = 6000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Taught:
    """Ask a teacher until each question has enough right rationales; an oracle writes them at once.

    In `output_dir` stand then `records.jsonl` (the right ones, as `prepare` reads them),
    `wrong.jsonl` (all others, with the reason), `failed.jsonl` (what could not be had; asked for
    again by the next call) and `summary.json`; `answers.jsonl` holds every answer from the moment
    it came, so that a call goes on where another was cut off.

    Args:
        sources: Tasks, or files of JSON lines with `question` and, where it is known, `answer`.
        output_dir: Where the files go; made if missing.
        teacher: The model, how it is asked, and how much.
        examples: Questions of each generated task.
        seed: Draws those, and a local model's samples.
        progress: Told questions done, questions in all, and a text; first of all the estimate.

    Raises:
        InputError: A source or the teacher's settings are at fault, or no answer is right.
        UnfinishedError: The budget is spent or the endpoint is gone; the same call goes on.
    """
    directory = Path(output_dir)
    if isinstance(teacher, Teacher):
        return _oracle(sources, directory, teacher, examples=examples, seed=seed, progress=progress)
    with _job(sources, directory, teacher, examples=examples, seed=seed) as (problems, job):
        # What an earlier call wrote under other settings must not be taken for this one's.
        (directory / "records.jsonl").unlink(missing_ok=True)
        failures = job.run(progress or _silent)
        taught = _count(problems, job, failures)
        publish(directory / "wrong.jsonl", _wrong(problems, job))
        publish_failures(directory / "failed.jsonl", job, failures)
        (directory / "summary.json").write_text(
            json.dumps(asdict(taught), indent=2) + "\n", "utf-8"
        )
        # Last, so that whoever sees the records sees all that is said of them.
        publish(directory / "records.jsonl", _right(problems, job))
    if not taught.records and not failures:
        reasons = ", ".join(f"{count} {reason}" for reason, count in taught.wrong.items())
        raise InputError(
            f"{directory / 'wrong.jsonl'}: no answer of {teacher.model} is right ({reasons}); look "
            "at some, and change `prompt`, `max_new_tokens` or the model"
        )
    return taught


def estimate(
    sources: Sequence[str],
    *,
    output_dir: str | Path,
    teacher: Endpoint | LocalModel,
    examples: int = 6000,
    seed: int = 0,
) -> Estimate:
    """Say what `teach` would ask, and ask nothing; the arguments are the same.

    Raises:
        InputError: A source or the teacher's settings are at fault.
    """
    directory = Path(output_dir)
    with _job(sources, directory, teacher, examples=examples, seed=seed, dry_run=True) as (_, job):
        return job.estimate()


def _oracle(
    tasks: Sequence[str],
    directory: Path,
    teacher: Teacher,
    *,
    examples: int,
    seed: int,
    progress: Progress | None,
) -> Taught:
    path = write_records(
        tasks,
        directory / "records.jsonl",
        examples=examples,
        teacher=teacher,
        seed=seed,
        progress=progress,
    )
    with path.open("rb") as lines:
        records = sum(1 for _ in lines)
    nothing = Spent(answers=0, lost=0, prompt_tokens=0, completion_tokens=0, cost=None)
    return Taught(teacher.name, records, records, 0, {}, {}, 0, nothing)


@contextmanager
def _job(
    sources: Sequence[str],
    directory: Path,
    teacher: Endpoint | LocalModel,
    *,
    examples: int,
    seed: int,
    dry_run: bool = False,
) -> Iterator[tuple[list[Problem], Job]]:
    problems = read_problems(sources, examples=examples, seed=seed)

    def wanted(index: int, replies: Sequence[Reply]) -> int:
        verdicts = (_judged(problems[index], reply, teacher) for reply in replies)
        return teacher.samples - sum(verdict.reason is None for verdict in verdicts)

    prompts = [asking(problem.question, problem.id, teacher) for problem in problems]
    with opened(directory, dry_run=dry_run) as cache:
        yield (
            problems,
            Job(teacher, prompts, cache, wanted=wanted, limit=teacher.draws, seed=seed),
        )


def _judged(problem: Problem, reply: Reply, teacher: Endpoint | LocalModel) -> Verdict:
    return judge(problem, reply, rationale=teacher.rationale)


def _verdicts(
    problem: Problem, index: int, job: Job
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records of a question's right samples, as many as are wanted, and of its wrong ones."""
    right: list[dict[str, Any]] = []
    wrong: list[dict[str, Any]] = []
    for sample, reply in job.draws.replies(index):
        verdict = _judged(problem, reply, job.teacher)
        record = _record(problem, sample, reply, verdict, job.teacher.model)
        if verdict.reason is not None:
            wrong.append({**record, "reason": verdict.reason})
        elif len(right) < job.teacher.samples:
            right.append(record)
    return right, wrong


def _record(
    problem: Problem, sample: int, reply: Reply, verdict: Verdict, teacher: str
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": problem.id,
        "domain": problem.domain,
        "question": problem.question,
        "rationale": verdict.rationale,
        # Where nobody knows the answer, the teacher's is all there is.
        "answer": verdict.answer if problem.answer is None else problem.answer,
        "teacher": teacher,
        "teacher_answer": verdict.answer,
        "meta": {
            "sample": sample,
            "finish_reason": reply.finish_reason,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
        },
    }
    if problem.split is not None:
        record["split"] = problem.split
    if reply.thinking is not None:
        # The rationale is one of the two; the other was paid for as well.
        record["meta"] |= {"thinking": reply.thinking, "response": reply.text}
    return record


def _right(problems: Sequence[Problem], job: Job) -> Iterator[dict[str, Any]]:
    for index, problem in enumerate(problems):
        yield from _verdicts(problem, index, job)[0]


def _wrong(problems: Sequence[Problem], job: Job) -> Iterator[dict[str, Any]]:
    for index, problem in enumerate(problems):
        yield from _verdicts(problem, index, job)[1]


def _count(problems: Sequence[Problem], job: Job, failures: Sequence[Failure]) -> Taught:
    records = unsolved = truncated = 0
    reasons: Counter[str] = Counter()
    for index, problem in enumerate(problems):
        right, wrong = _verdicts(problem, index, job)
        records += len(right)
        unsolved += not right
        truncated += sum(each["meta"]["finish_reason"] == "length" for each in wrong)
        reasons.update(each["reason"] for each in wrong)
    kinds = Counter("refused" if each.is_refused else "unanswered" for each in failures)
    return Taught(
        teacher=job.teacher.model,
        questions=len(problems),
        records=records,
        unsolved=unsolved,
        failed=dict(kinds),
        wrong=dict(reasons),
        truncated=truncated,
        spent=job.spent,
    )


def _silent(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""
