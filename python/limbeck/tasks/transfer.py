"""The twelve public sets by what they ask for, and the protocols of transfer between domains.

A protocol is data: which tasks are trained with their answers and whose questions are seen without,
as the section `data` of a recipe says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["CATEGORIES", "leave_one_out", "within_categories"]

CATEGORIES: dict[str, tuple[str, ...]] = {
    "arithmetic": ("single_eq", "addsub", "multiarith", "gsm8k", "aqua", "svamp"),
    "other": ("date_understanding", "shuffled_objects_public"),
    "symbolic": ("last_letters_public", "coin_flip_public"),
    "commonsense": ("commonsense_qa", "strategy_qa"),
}
"""PRADA's categories (arXiv 2501.09804) of Fine-tune-CoT's sets, by the names of the tasks."""


def leave_one_out(tasks: Sequence[str]) -> Iterator[dict[str, list[str]]]:
    """Yield the section `data` that has each task in turn as the target of all others.

    Two tasks give plain source → target, both ways.

    Args:
        tasks: Names, with settings if they have any (`svamp:path=svamp.jsonl`).

    Example:
        >>> [data["unlabelled_tasks"] for data in leave_one_out(["addsub", "gsm8k", "svamp"])]
        [['addsub'], ['gsm8k'], ['svamp']]
        >>> next(leave_one_out(["addsub", "gsm8k", "svamp"]))["tasks"]
        ['gsm8k', 'svamp']
    """
    for target in tasks:
        sources = [task for task in tasks if task != target]
        yield {"tasks": sources, "unlabelled_tasks": [target]}


def within_categories() -> Iterator[dict[str, list[str]]]:
    """Yield `leave_one_out` of each category: sources that ask for the same as the target.

    Example:
        >>> len(list(within_categories()))
        12
        >>> next(within_categories())["unlabelled_tasks"]
        ['single_eq']
    """
    for tasks in CATEGORIES.values():
        yield from leave_one_out(tasks)
