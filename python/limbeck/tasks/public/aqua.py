"""AQuA-RAT (Ling et al., arXiv 1705.04146): algebra with five options and human rationales."""

from limbeck.tasks.answers import list_options
from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["AQUA"]


def _item(row: Row) -> Item:
    # `A)21`
    options = [option.partition(")")[2].strip() for option in row["options"]]
    extra = {"rationale": row["rationale"].strip(), "teacher": "human"}
    return Item(list_options(row["question"], options), row["correct"].strip(), extra)


AQUA = PublicSet("aqua", "option", Hub("deepmind/aqua_rat", "raw"), (10_000, 254), _item)
