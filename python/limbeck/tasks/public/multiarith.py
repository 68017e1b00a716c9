"""MultiArith (Roy and Roth 2015): word problems of several arithmetic steps."""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["MULTIARITH"]


def _item(row: Row) -> Item:
    return Item(row["question"].strip(), str(row["final_ans"]).strip())


MULTIARITH = PublicSet("multiarith", "number", Hub("ChilleD/MultiArith"), (420, 180), _item)
