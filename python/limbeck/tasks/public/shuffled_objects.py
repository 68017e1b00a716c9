"""Tracking shuffled objects of BIG-bench (arXiv 2206.04615), with three objects.

The generated task `shuffled_objects` is made after it, in fewer words.
"""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.date_understanding import bigbench_item
from limbeck.tasks.public.rows import Row

__all__ = ["SHUFFLED_OBJECTS"]


def _item(row: Row) -> Item | None:
    return bigbench_item(row) if len(row["multiple_choice_targets"]) == 3 else None


SHUFFLED_OBJECTS = PublicSet(
    "shuffled_objects_public",
    "option",
    Hub(
        "tasksource/bigbench",
        "tracking_shuffled_objects",
        splits=("train", "validation"),
        test=None,
    ),
    (525, 225),
    _item,
)
