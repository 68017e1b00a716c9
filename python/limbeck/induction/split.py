"""The paper's split of a set of tasks: nine tenths to train on, the rest to test."""

from __future__ import annotations

import random
from collections.abc import Sequence

from limbeck.induction.task import InductionTask

__all__ = ["split_tasks"]


def split_tasks(
    tasks: Sequence[InductionTask], *, seed: int = 10
) -> tuple[list[InductionTask], list[InductionTask]]:
    """Shuffle tasks and cut them in two.

    Args:
        tasks: Of one file, in its order.
        seed: Of the shuffle; 10 gives the published split of the public files.

    Returns:
        The first nine tenths, rounded down, and the last tenth.

    Example:
        >>> tasks = [InductionTask("acre", str(n), (), ()) for n in range(100)]
        >>> [task.id for task in split_tasks(tasks)[1]][:3]
        ['35', '62', '59']
    """
    shuffled = list(tasks)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 (tasks, not keys)
    count = len(shuffled) * 9 // 10
    return shuffled[:count], shuffled[count:]
