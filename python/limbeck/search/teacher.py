"""A model that `teach` can ask as a search's model: behind an endpoint, or of transformers here.

Its client, pace, budget and cache are those of `teach`: what was answered once is not asked again,
and a search that was cut off goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from limbeck.errors import UnfinishedError
from limbeck.search.backend import Written
from limbeck.teach import Prompt
from limbeck.teach.job import Job, opened
from limbeck.teach.reply import Reply
from limbeck.teachers import Endpoint, LocalModel

__all__ = ["ModelBackend"]


class ModelBackend:
    """A model that answers chats.

    Args:
        teacher: Which one, its limits and its budget; `samples` and `temperature` do not apply.
        directory: Where its answers stand.
        seed: Of a local model's sampling.
        progress: Told prompts done, prompts in all, and a text.
    """

    def __init__(
        self,
        teacher: Endpoint | LocalModel,
        directory: Path,
        *,
        seed: int = 0,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self._teacher, self._directory = teacher, directory
        self._seed, self._progress = seed, progress or _silent

    def write(self, prompts: Sequence[str], *, samples: int, temperature: float) -> list[Written]:
        """Write to prompts; see `Backend`."""
        teacher = self._teacher.model_copy(update={"samples": samples, "temperature": temperature})
        asked = [Prompt.of(str(n), text, system=teacher.system) for n, text in enumerate(prompts)]

        def wanted(_: int, replies: Sequence[Reply]) -> int:
            return samples - len(replies)

        with opened(self._directory) as cache:
            job = Job(teacher, asked, cache, wanted=wanted, limit=samples, seed=self._seed)
            failures = job.run(self._progress)
            if failures:
                raise UnfinishedError(
                    f"{self._directory}: {len(failures)} of {len(asked) * samples} texts could not "
                    f"be had; the last: {failures[-1].reason}; run the same command to go on"
                )
            replies = [job.draws.replies(index) for index in range(len(asked))]
        return [_written([reply for _, reply in own]) for own in replies]


def _written(replies: Sequence[Reply]) -> Written:
    return Written(
        tuple(None if each.is_truncated else each.text or None for each in replies),
        sum(each.prompt_tokens for each in replies),
        sum(each.completion_tokens for each in replies),
    )


def _silent(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""
