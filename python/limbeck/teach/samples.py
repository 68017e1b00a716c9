"""Sample: ready prompts go to a teacher, a number of answers to each comes back.

limbeck teach PROMPTS --prompts --output-dir DIR, or `sample(…)`. This is how hypotheses are drawn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.teach.estimate import Estimate
from limbeck.teach.job import Job, Progress, Spent, opened, publish, publish_failures
from limbeck.teach.prompts import Prompt
from limbeck.teach.reply import Reply
from limbeck.teachers import Endpoint, LocalModel

__all__ = ["Sampled", "estimate_samples", "sample"]


@dataclass(frozen=True)
class Sampled:
    """What became of some prompts.

    Attributes:
        teacher: The model's name.
        prompts: How many were asked.
        samples: Answers to them, all together.
        failed: Samples that could not be had, by whether the endpoint refuses them for good.
        truncated: Samples that were cut off at `max_new_tokens`.
        spent: Tokens and money.
    """

    teacher: str
    prompts: int
    samples: int
    failed: dict[str, int]
    truncated: int
    spent: Spent

    def __str__(self) -> str:
        """Say it in a line."""
        failed = "".join(f", {count:,} {kind}" for kind, count in self.failed.items())
        return (
            f"{self.samples:,} samples of {self.prompts:,} prompts, {self.truncated:,} of them "
            f"truncated{failed}; {self.spent}"
        )


def sample(
    prompts: Sequence[Prompt],
    *,
    output_dir: str | Path,
    teacher: Endpoint | LocalModel,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sampled:
    """Ask a teacher `teacher.samples` times for an answer to each prompt; all answers count.

    In `output_dir` stands then `samples.jsonl`, a line an answer in the order of the prompts (`id`,
    `sample`, `text`, `thinking`, `finish_reason`, tokens), beside the files that `teach` has.

    Args:
        prompts: What is asked, each under an id of its own.
        output_dir: Where the files go; made if missing.
        teacher: The model and how it decodes; its `system` and `prompt` do not apply.
        seed: Of a local model's samples.
        progress: Told prompts done, prompts in all, and a text; first of all the estimate.

    Raises:
        InputError: Two prompts have one id, or the teacher's settings are at fault.
        UnfinishedError: The budget is spent or the endpoint is gone; the same call goes on.
    """
    directory = Path(output_dir)
    with _job(prompts, directory, teacher, seed=seed) as job:
        # What an earlier call wrote under other settings must not be taken for this one's.
        (directory / "samples.jsonl").unlink(missing_ok=True)
        failures = job.run(progress or _silent)
        kinds = Counter("refused" if each.is_refused else "unanswered" for each in failures)
        reasons = Counter(row["finish_reason"] for row in _rows(job))
        sampled = Sampled(
            teacher=teacher.model,
            prompts=len(prompts),
            samples=reasons.total(),
            failed=dict(kinds),
            truncated=reasons["length"],
            spent=job.spent,
        )
        publish_failures(directory / "failed.jsonl", job, failures)
        (directory / "summary.json").write_text(
            json.dumps(asdict(sampled), indent=2) + "\n", "utf-8"
        )
        publish(directory / "samples.jsonl", _rows(job))
    return sampled


def estimate_samples(
    prompts: Sequence[Prompt],
    *,
    output_dir: str | Path,
    teacher: Endpoint | LocalModel,
    seed: int = 0,
) -> Estimate:
    """Say what `sample` would ask, and ask nothing; the arguments are the same."""
    with _job(prompts, Path(output_dir), teacher, seed=seed, dry_run=True) as job:
        return job.estimate()


@contextmanager
def _job(
    prompts: Sequence[Prompt],
    directory: Path,
    teacher: Endpoint | LocalModel,
    *,
    seed: int,
    dry_run: bool = False,
) -> Iterator[Job]:
    twice = [id for id, times in Counter(prompt.id for prompt in prompts).items() if times > 1]
    if twice:
        raise InputError(f"prompts: the id {twice[0]!r} is given twice; name each prompt once")

    def wanted(_: int, replies: Sequence[Reply]) -> int:
        return teacher.samples - len(replies)

    with opened(directory, dry_run=dry_run) as cache:
        yield Job(teacher, prompts, cache, wanted=wanted, limit=teacher.samples, seed=seed)


def _rows(job: Job) -> Iterator[dict[str, Any]]:
    for index, prompt in enumerate(job.draws.prompts):
        for number, reply in job.draws.replies(index):
            yield {
                "id": prompt.id,
                "sample": number,
                "teacher": job.teacher.model,
                **asdict(reply),
            }


def _silent(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""
