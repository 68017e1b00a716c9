"""What a job has taken and may take, in tokens and in money.

A request is admitted when even the most it can take fits beside what is spent and what is under
way; where it does not fit yet, it waits for those under way to take less than they might. So the
budget holds as long as the endpoint keeps to the length it was asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

__all__ = ["Budget", "Price"]

MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Of a million tokens, in any currency.

    Attributes:
        prompt: Of what the teacher reads.
        completion: Of what it writes.
    """

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost.

        Example:
            >>> Price(prompt=1.0, completion=4.0).of(500_000, 250_000)
            1.5
        """
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / MILLION


class Budget:
    """Tokens spent, tokens under way, and whether more may be.

    Args:
        price: What tokens cost; None where nobody says.
        max_cost: None for no limit; needs a price.
        max_tokens: None for no limit.
        prompt_tokens: Spent before.
        completion_tokens: Spent before.

    Attributes:
        prompt_tokens: Spent.
        completion_tokens: Spent.
        is_spent: Whether a request did not fit.
    """

    def __init__(
        self,
        *,
        price: Price | None = None,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        self.price, self.max_cost, self.max_tokens = price, max_cost, max_tokens
        self.prompt_tokens, self.completion_tokens = prompt_tokens, completion_tokens
        self.is_spent = False
        self._prompts_away = self._completions_away = self._away = 0
        self._changed = asyncio.Condition()

    @property
    def cost(self) -> float | None:
        """What was spent, in money; None without a price."""
        return self.price.of(self.prompt_tokens, self.completion_tokens) if self.price else None

    async def admit(self, prompt_tokens: int, completion_tokens: int) -> bool:
        """Wait until a request fits, and hold what it may take; False where it never will.

        Args:
            prompt_tokens: What it takes at most.
            completion_tokens: The same of the answer.
        """
        async with self._changed:
            while not self._fits(prompt_tokens, completion_tokens):
                if self.is_spent or not self._away:
                    self.is_spent = True
                    self._changed.notify_all()
                    return False
                await self._changed.wait()
            self._away += 1
            self._prompts_away += prompt_tokens
            self._completions_away += completion_tokens
            return True

    async def settle(self, held: tuple[int, int], taken: tuple[int, int]) -> None:
        """Release what an admitted request held and book what it took.

        Args:
            held: Prompt and completion tokens, as admitted.
            taken: What they came to; (0, 0) where the request never went out.
        """
        async with self._changed:
            self._away -= 1
            self._prompts_away -= held[0]
            self._completions_away -= held[1]
            self.prompt_tokens += taken[0]
            self.completion_tokens += taken[1]
            self._changed.notify_all()

    def _fits(self, prompt_tokens: int, completion_tokens: int) -> bool:
        prompts = self.prompt_tokens + self._prompts_away + prompt_tokens
        completions = self.completion_tokens + self._completions_away + completion_tokens
        if self.max_tokens is not None and prompts + completions > self.max_tokens:
            return False
        if self.max_cost is None or self.price is None:
            return True
        return self.price.of(prompts, completions) <= self.max_cost
