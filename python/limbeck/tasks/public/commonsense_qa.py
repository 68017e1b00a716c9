"""CommonsenseQA (Talmor et al., arXiv 1811.00937); its own test has no public answers."""

from limbeck.tasks.answers import list_options
from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["COMMONSENSE_QA"]


def _item(row: Row) -> Item:
    return Item(list_options(row["question"], row["choices"]["text"]), row["answerKey"].strip())


COMMONSENSE_QA = PublicSet(
    "commonsense_qa",
    "option",
    Hub("tau/commonsense_qa", splits=("train", "validation"), test="validation"),
    (9741, 1221),
    _item,
)
