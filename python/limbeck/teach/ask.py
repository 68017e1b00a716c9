"""Ask an endpoint for all that a job misses: many requests at a time, each until it is answered.

Workers take prompts in order and draw of each until it has enough. What ends the job (an empty
budget, a wrong key, an endpoint that is gone) keeps new requests from going out; those under way
are awaited, for they are paid for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from weakref import WeakValueDictionary

from limbeck.errors import InputError, UnfinishedError
from limbeck.teach.budget import Budget
from limbeck.teach.client import Client, RefusedError, TransientError
from limbeck.teach.draws import Draws
from limbeck.teach.pace import Pace
from limbeck.teach.prompts import endpoint_request
from limbeck.teach.retry import backoff_s
from limbeck.teachers import Endpoint

__all__ = ["Asker", "Failure"]

# So many requests given up one after the other, and the endpoint is taken for gone.
GIVE_UP_AFTER = 20
# A longer wait is a matter for the user; a day's quota is often given back only the next day.
LONGEST_WAIT_S = 600.0


@dataclass(frozen=True)
class Failure:
    """A sample that could not be had this time.

    Attributes:
        prompt: Index of its prompt.
        sample: Its number.
        reason: What was said at last.
        is_refused: Whether the endpoint refuses the request itself, and would again.
    """

    prompt: int
    sample: int
    reason: str
    is_refused: bool


class Asker:
    """One call's work on a job at an endpoint.

    Args:
        teacher: Limits and retries.
        client: Sends requests.
        draws: What is to be drawn; answers go to its cache.
        budget: What may be spent.
        on_done: Told whenever a prompt is finished with, and how many are.
        rng: Draws the chance in waits.
    """

    def __init__(
        self,
        teacher: Endpoint,
        client: Client,
        draws: Draws,
        budget: Budget,
        *,
        on_done: Callable[[int], None],
        rng: random.Random | None = None,
    ) -> None:
        self._failures: list[Failure] = []
        self._teacher, self._client, self._draws, self._budget = teacher, client, draws, budget
        self._on_done = on_done
        self._rng = rng or random.Random()  # noqa: S311 (spreads waits)
        self._pace = Pace(
            requests_per_minute=teacher.requests_per_minute,
            tokens_per_minute=teacher.tokens_per_minute,
        )
        self._places = asyncio.Semaphore(teacher.concurrency)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._given_up = 0
        self._end: Exception | None = None
        self._ended = asyncio.Event()

    async def run(self) -> list[Failure]:
        """Draw until every prompt has enough or has failed; return what could not be had.

        Raises:
            InputError: The endpoint takes no request of this kind.
            UnfinishedError: The budget or the account is empty, or the endpoint is gone.
        """
        waiting = iter(range(len(self._draws)))
        done = count(1)

        async def work() -> None:
            for index in waiting:
                await self._draw(index)
                if self._end is not None:
                    return
                self._on_done(next(done))

        await asyncio.gather(*(work() for _ in range(self._teacher.concurrency)))
        if self._end is not None:
            raise self._end
        return self._failures

    async def _draw(self, index: int) -> None:
        """Draw of one prompt; of two that are alike one at a time, so that they can share."""
        lock = self._locks.setdefault(self._draws.keys[index], asyncio.Lock())
        async with lock:
            while self._end is None and (missing := self._draws.missing(index)):
                size = self._teacher.n
                groups = [missing[at : at + size] for at in range(0, len(missing), size)]
                had = await asyncio.gather(*(self._ask(index, group) for group in groups))
                if not all(had):
                    return

    async def _ask(self, index: int, samples: list[int]) -> bool:
        """Have samples answered by one request; False where that cannot be done now."""
        async with self._places:
            for attempt in count():
                if self._end is not None:
                    return False
                try:
                    return await self._attempt(index, samples)
                except RefusedError as error:
                    return self._give_up(index, samples, str(error), is_refused=True)
                except TransientError as error:
                    asked = error.retry_after_s or 0.0
                    if asked > LONGEST_WAIT_S:
                        self._stop(_must_wait(self._client.base_url, asked, str(error)))
                        return False
                    if attempt >= self._teacher.max_retries:
                        return self._give_up(index, samples, str(error), is_refused=False)
                    self._pace.pause(asked)
                    await self._sleep(max(asked, backoff_s(attempt, self._rng)))
                except (InputError, UnfinishedError) as error:
                    self._stop(error)
                    return False
        raise AssertionError("a request is answered, refused or given up")

    async def _attempt(self, index: int, samples: list[int]) -> bool:
        """Send one request when budget and pace allow; False where the job ends before."""
        prompt, key = self._draws.prompts[index], self._draws.keys[index]
        held = (prompt.tokens_at_most, len(samples) * self._teacher.max_new_tokens)
        if not await self._budget.admit(*held):
            raise _budget_is_spent(self._budget)
        taken = (0, 0)
        wait_s = self._pace.book(sum(held))
        try:
            await self._sleep(wait_s)
            while paused_s := self._pace.paused_s():
                await self._sleep(paused_s)
                if self._end is not None:
                    break
            if self._end is not None:
                return False
            request = endpoint_request(prompt, self._teacher)
            if len(samples) > 1:
                request["n"] = len(samples)
            replies = await self._client.attempt(request, prompt_tokens=prompt.tokens_at_most)
            taken = (
                sum(each.prompt_tokens for each in replies),
                sum(each.completion_tokens for each in replies),
            )
            # A server may give fewer than were asked for; the rest is asked again.
            for sample, reply in zip(samples, replies, strict=False):
                self._draws.cache.put(key, sample, reply)
            self._given_up = 0
            return True
        except TransientError as error:
            if error.was_sent:
                taken = held
                self._draws.cache.put_lost(key, samples[0], *held)
            raise
        finally:
            self._pace.give_back(sum(held) - sum(taken))
            await self._budget.settle(held, taken)

    def _give_up(self, index: int, samples: list[int], reason: str, *, is_refused: bool) -> bool:
        self._failures += [Failure(index, sample, reason, is_refused) for sample in samples]
        # Refusals are of single requests, unless there has never been anything else.
        if not is_refused or not len(self._draws.cache):
            self._given_up += 1
        if self._given_up >= GIVE_UP_AFTER:
            self._stop(
                UnfinishedError(
                    f"teacher: {self._client.base_url} answered none of the last "
                    f"{self._given_up} requests; the last: {reason}; mend that and run the "
                    "same command to go on"
                )
            )
        return False

    def _stop(self, end: Exception) -> None:
        """Let no further request go out; what came first is what the user is told."""
        self._end = self._end or end
        self._ended.set()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the job."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except asyncio.TimeoutError:
            return


def _budget_is_spent(budget: Budget) -> UnfinishedError:
    spent = f"{budget.prompt_tokens + budget.completion_tokens:,} tokens"
    if budget.cost is not None:
        spent = f"{spent}, {budget.cost:.2f} in money,"
    limits = {"max_tokens": budget.max_tokens, "max_cost": budget.max_cost}
    named = " or ".join(f"`{key}` of {limit:,}" for key, limit in limits.items() if limit)
    return UnfinishedError(
        f"teacher: {spent} are spent, and one more answer might exceed {named}; raise it and run "
        "the same command to go on"
    )


def _must_wait(url: str, seconds: float, reason: str) -> UnfinishedError:
    return UnfinishedError(
        f"teacher: {url} asks to wait {seconds / 60:,.0f} minutes ({reason}); run the same command "
        "then to go on"
    )
