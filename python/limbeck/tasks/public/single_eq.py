"""SingleEq (Koncel-Kedziorski et al. 2015): word problems that one equation solves."""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["SINGLE_EQ", "mawps_item"]


def mawps_item(row: Row) -> Item:
    """Read a row of the MAWPS files."""
    answer = row["target"]
    text = f"{answer:.12g}" if isinstance(answer, int | float) else answer.strip()
    return Item(row["input"].strip(), text)


SINGLE_EQ = PublicSet(
    "single_eq",
    "number",
    Hub("HuggingFaceTB/math_tasks", file="data/mawps/singleeq.jsonl", test=None),
    (356, 152),
    mawps_item,
)
