"""Date understanding of BIG-bench (Srivastava et al., arXiv 2206.04615): which date is it?"""

from limbeck.tasks.answers import list_options
from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["DATE_UNDERSTANDING", "bigbench_item"]


def bigbench_item(row: Row) -> Item:
    """Read a multiple-choice row of BIG-bench: the best scored option is the answer."""
    options, scores = row["multiple_choice_targets"], row["multiple_choice_scores"]
    question = row["inputs"].strip().removeprefix("Q:").removesuffix("A:").strip()
    letter = chr(ord("A") + list(scores).index(max(scores)))
    return Item(list_options(question, options), letter)


DATE_UNDERSTANDING = PublicSet(
    "date_understanding",
    "date",
    Hub("tasksource/bigbench", "date_understanding", splits=("train", "validation"), test=None),
    (258, 111),
    bigbench_item,
)
