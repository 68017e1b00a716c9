"""StrategyQA (Geva et al., arXiv 2101.02235): yes or no, by steps that the question hides."""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["STRATEGY_QA"]


def _item(row: Row) -> Item:
    return Item(row["question"].strip(), {True: "yes", False: "no"}[row["answer"]])


STRATEGY_QA = PublicSet("strategy_qa", "yes_no", Hub("ChilleD/StrategyQA"), (1603, 687), _item)
