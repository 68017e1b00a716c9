"""A student on this machine as a search's model: prompts in batches, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from limbeck.search.backend import Written

if TYPE_CHECKING:
    from limbeck.generate import Generator

__all__ = ["StudentBackend"]


class StudentBackend:
    """A loaded student, asked through its template.

    Args:
        generator: The student.
        max_new_tokens: Where a text that does not end is cut off; None is what the student's
            training data called for.
        batch_size: Texts written together.
        seed: Of sampling; what is asked first, second, … is drawn under seeds of its own.
        progress: Told texts written, texts in all, and a text.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        max_new_tokens: int | None = None,
        batch_size: int = 64,
        seed: int = 0,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self._generator = generator
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        self._seed = seed
        self._progress = progress

    def write(self, prompts: Sequence[str], *, samples: int, temperature: float) -> list[Written]:
        """Write to prompts; see `Backend`."""
        found = self._generator.sample(
            prompts,
            samples=samples,
            temperature=temperature,
            max_new_tokens=self._max_new_tokens,
            batch_size=self._batch_size,
            seed=self._seed,
            progress=self._progress,
        )
        self._seed += 1
        # A batch holds so many samples of a prompt at most, and computes it again for the rest.
        times = -(-samples // self._batch_size)
        return [
            Written(
                tuple(each.answer for each in own),
                times * own[0].prompt_tokens,
                sum(each.tokens_generated for each in own),
            )
            for own in found
        ]
