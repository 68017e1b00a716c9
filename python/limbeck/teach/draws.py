"""What has been drawn of each prompt, and what is to be drawn next.

All of it is read off the cache, so a job that was cut off goes on by itself, and one that asks for
more than an earlier one pays for the difference alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from limbeck.teach.cache import Cache
from limbeck.teach.prompts import Prompt
from limbeck.teach.reply import Reply

__all__ = ["Draws", "Wanted"]

Wanted = Callable[[int, Sequence[Reply]], int]
"""Index of a prompt and its replies so far; how many more should be drawn now."""


class Draws:
    """The samples of a job.

    Args:
        prompts: What is asked.
        keys: The hash of each prompt's request. Prompts with one hash share their samples.
        cache: Where samples stand.
        wanted: How many more a prompt needs.
        limit: Samples of a prompt at most.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        keys: Sequence[str],
        cache: Cache,
        *,
        wanted: Wanted,
        limit: int,
    ) -> None:
        self.prompts, self.keys, self.cache = prompts, keys, cache
        self.limit = limit
        self._wanted = wanted

    def __len__(self) -> int:
        """Prompts of the job."""
        return len(self.prompts)

    def replies(self, index: int) -> list[tuple[int, Reply]]:
        """The samples that stand of a prompt, with their numbers, in order."""
        found = ((n, self.cache.get(self.keys[index], n)) for n in range(self.limit))
        return [(n, reply) for n, reply in found if reply is not None]

    def missing(self, index: int) -> list[int]:
        """The numbers of the samples to draw next; none where enough stand or the limit is met."""
        known = self.replies(index)
        wanted = self._wanted(index, [reply for _, reply in known])
        drawn = {n for n, _ in known}
        return [n for n in range(self.limit) if n not in drawn][: max(0, wanted)]
