"""Coin flip (Wei et al., arXiv 2201.11903).

The generated task `coin_flip` is made after it, in fewer words.
"""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["COIN_FLIP"]


def _item(row: Row) -> Item:
    question = row["inputs"].strip().removeprefix("Q:").removesuffix("A:").strip()
    return Item(question, row["targets"].strip().lower())


COIN_FLIP = PublicSet("coin_flip_public", "yes_no", Hub("skrishna/coin_flip"), (350, 150), _item)
