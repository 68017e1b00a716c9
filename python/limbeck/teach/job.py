"""One job at a directory: its prompts, its cache, and the teacher that fills it.

Both kinds of job, questions until enough answers are right and ready prompts, are this with another
rule of how many samples are wanted.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.teach.ask import Asker, Failure
from limbeck.teach.budget import Budget, Price
from limbeck.teach.cache import Cache, request_key
from limbeck.teach.client import Client
from limbeck.teach.draws import Draws, Wanted
from limbeck.teach.estimate import Estimate, estimate_draws
from limbeck.teach.local import LocalTeacher
from limbeck.teach.prompts import Prompt, endpoint_request, local_request
from limbeck.teachers import Endpoint, LocalModel

__all__ = ["Job", "Progress", "Spent", "opened", "publish"]

Progress = Callable[[int, int, str], None]
CACHE_FILE = "answers.jsonl"


@dataclass(frozen=True)
class Spent:
    """What a job has taken, over all its calls.

    Attributes:
        answers: Answers that came.
        lost: Requests that were sent and never answered, counted with the most they can have taken.
        prompt_tokens: Of answers and lost requests.
        completion_tokens: The same of what was written.
        cost: In the currency of the prices; None without prices.
    """

    answers: int
    lost: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def __str__(self) -> str:
        """Say it in a few words."""
        tokens = f"{self.prompt_tokens:,} tokens read, {self.completion_tokens:,} written"
        cost = "" if self.cost is None else f", {self.cost:.2f} spent"
        lost = f"; {self.lost:,} requests went unanswered" if self.lost else ""
        return f"{tokens}{cost}{lost}"


class Job:
    """Prompts to put to a teacher, and what stands of its answers.

    Args:
        teacher: A model behind an endpoint or on this machine.
        prompts: What is asked.
        cache: Where answers stand.
        wanted: How many more samples a prompt needs.
        limit: Samples of a prompt at most.
        seed: Of a local model's sampling.
    """

    def __init__(
        self,
        teacher: Endpoint | LocalModel,
        prompts: Sequence[Prompt],
        cache: Cache,
        *,
        wanted: Wanted,
        limit: int,
        seed: int,
    ) -> None:
        self.teacher, self.cache, self._seed = teacher, cache, seed
        keys = [request_key(self._request(prompt)) for prompt in prompts]
        self.draws = Draws(prompts, keys, cache, wanted=wanted, limit=limit)

    @property
    def price(self) -> Price | None:
        """What tokens cost, if anyone says."""
        teacher = self.teacher
        if not isinstance(teacher, Endpoint) or teacher.price_prompt is None:
            return None
        assert teacher.price_completion is not None
        return Price(teacher.price_prompt, teacher.price_completion)

    @property
    def spent(self) -> Spent:
        """What the job has taken so far."""
        cache = self.cache
        tokens = (cache.prompt_tokens, cache.completion_tokens)
        return Spent(
            answers=len(cache),
            lost=cache.lost,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost=self.price.of(*tokens) if self.price else None,
        )

    def estimate(self) -> Estimate:
        """Count what is still to be asked."""
        return estimate_draws(
            self.draws,
            max_new_tokens=self.teacher.max_new_tokens,
            price=self.price,
            per_request=self.teacher.n if isinstance(self.teacher, Endpoint) else 1,
        )

    def run(self, progress: Progress) -> list[Failure]:
        """Draw what is missing; what could not be had is returned.

        Args:
            progress: Told prompts done, prompts in all, and a text: before the first the estimate,
                then the rates.

        Raises:
            InputError: The teacher takes no request of this kind.
            UnfinishedError: The budget or the account is empty, or the endpoint is gone.
        """
        total = len(self.draws)
        progress(0, total, str(self.estimate()))
        on_done = _rates(self, total, progress)
        if isinstance(self.teacher, LocalModel):
            # Nothing to do needs no weights.
            if any(self.draws.missing(index) for index in range(total)):
                LocalTeacher(self.teacher).run(self.draws, seed=self._seed, on_done=on_done)
            return []
        failures = _to_the_end(_asked(self.teacher, self, on_done))
        return sorted(failures, key=lambda each: (each.prompt, each.sample))

    def _request(self, prompt: Prompt) -> Mapping[str, Any]:
        if isinstance(self.teacher, LocalModel):
            return local_request(prompt, self.teacher, self._seed)
        # Two servers may call different models by one name.
        url = self.teacher.base_url or os.environ.get("OPENAI_BASE_URL", "")
        return {"url": url, **endpoint_request(prompt, self.teacher)}


def _to_the_end(work: Coroutine[Any, Any, list[Failure]]) -> list[Failure]:
    """Run a coroutine; in a thread of its own where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _asked(teacher: Endpoint, job: Job, on_done: Callable[[int], None]) -> list[Failure]:
    spent = job.spent
    budget = Budget(
        price=job.price,
        max_cost=teacher.max_cost,
        max_tokens=teacher.max_tokens,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
    )
    client = Client(teacher)
    try:
        return await Asker(teacher, client, job.draws, budget, on_done=on_done).run()
    finally:
        await client.close()


def _rates(job: Job, total: int, progress: Progress) -> Callable[[int], None]:
    begin, before = time.monotonic(), job.spent

    def on_done(done: int) -> None:
        seconds = max(time.monotonic() - begin, 1e-9)
        spent = job.spent
        answers = (spent.answers - before.answers) / seconds
        tokens = (spent.completion_tokens - before.completion_tokens) / seconds
        cost = "" if spent.cost is None else f", {spent.cost:.2f} spent"
        progress(done, total, f"{answers:.1f} answers/s, {tokens:,.0f} tokens/s{cost}")

    return on_done


@contextmanager
def opened(directory: Path, *, dry_run: bool = False) -> Iterator[Cache]:
    """Open a job's cache; a dry run of a job that has none leaves nothing behind.

    Raises:
        InputError: Another run is writing it, it is damaged, or the directory is a file.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: a file; give a directory")
    with tempfile.TemporaryDirectory() as empty:
        at = Path(empty) if dry_run and not (directory / CACHE_FILE).exists() else directory
        with Cache(at / CACHE_FILE) as cache:
            yield cache


def publish(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as JSON lines, beside and then renamed; no rows, no file.

    Returns:
        How many there were.
    """
    beside = path.with_name(f".{path.name}.tmp")
    count = 0
    with beside.open("w", encoding="utf-8", newline="\n") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    if count:
        beside.replace(path)
    else:
        beside.unlink()
        path.unlink(missing_ok=True)
    return count


def publish_failures(path: Path, job: Job, failures: Sequence[Failure]) -> None:
    """Write what could not be had; the file goes when all could."""
    prompts = job.draws.prompts
    publish(
        path,
        (
            {
                "id": prompts[each.prompt].id,
                "sample": each.sample,
                "reason": each.reason,
                "is_refused": each.is_refused,
                "prompt": prompts[each.prompt].messages,
            }
            for each in failures
        ),
    )
