"""What a job will take, told before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.teach.budget import Price
from limbeck.teach.draws import Draws

__all__ = ["Estimate", "estimate_draws"]

# Of English text and most tokenizers; shown as "about".
BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Estimate:
    """What is still to be asked.

    Attributes:
        prompts: Questions or prompts of the job.
        known: Answers that stand already.
        requests: At least; every prompt's next ones.
        requests_at_most: Where no answer is right and every one is drawn.
        prompt_tokens: About, of the requests at least.
        prompt_tokens_at_most: About, of all.
        completion_tokens: About, of the requests at least: by the mean of what stands, or the most
            where nothing does.
        completion_tokens_at_most: Of all, each as long as it may be.
        price: What tokens cost, if anyone says.
    """

    prompts: int
    known: int
    requests: int
    requests_at_most: int
    prompt_tokens: int
    prompt_tokens_at_most: int
    completion_tokens: int
    completion_tokens_at_most: int
    price: Price | None

    def __str__(self) -> str:
        """Say it in one line."""
        tokens = _range(
            self.prompt_tokens + self.completion_tokens,
            self.prompt_tokens_at_most + self.completion_tokens_at_most,
        )
        text = (
            f"{self.prompts:,} prompts, {self.known:,} answers at hand; "
            f"{_range(self.requests, self.requests_at_most)} requests, about {tokens} tokens"
        )
        if self.price is None:
            return text
        low = self.price.of(self.prompt_tokens, self.completion_tokens)
        high = self.price.of(self.prompt_tokens_at_most, self.completion_tokens_at_most)
        return f"{text}, costing about {low:.2f} to {high:.2f}"


def estimate_draws(
    draws: Draws, *, max_new_tokens: int, price: Price | None, per_request: int = 1
) -> Estimate:
    """Count what a job will ask.

    Args:
        draws: The job.
        max_new_tokens: Of an answer.
        price: What tokens cost; None where nobody says.
        per_request: Answers that one request asks for, at most.
    """
    known = requests = at_most = prompt = prompt_at_most = written = 0
    answers = answers_at_most = 0
    for index, each in enumerate(draws.prompts):
        replies = draws.replies(index)
        missing = len(draws.missing(index))
        possible = draws.limit - len(replies) if missing else 0
        tokens = -(-each.size_bytes // BYTES_PER_TOKEN)
        known += len(replies)
        written += sum(reply.completion_tokens for _, reply in replies)
        answers, answers_at_most = answers + missing, answers_at_most + possible
        now, later = -(-missing // per_request), -(-possible // per_request)
        requests, at_most = requests + now, at_most + later
        prompt, prompt_at_most = prompt + now * tokens, prompt_at_most + later * tokens
    mean = written / known if known else max_new_tokens
    return Estimate(
        prompts=len(draws),
        known=known,
        requests=requests,
        requests_at_most=at_most,
        prompt_tokens=prompt,
        prompt_tokens_at_most=prompt_at_most,
        completion_tokens=round(answers * mean),
        completion_tokens_at_most=answers_at_most * max_new_tokens,
        price=price,
    )


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
