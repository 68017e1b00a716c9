"""SVAMP (Patel et al., arXiv 2103.07191): word problems varied to defeat shallow cues."""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["SVAMP"]


def _item(row: Row) -> Item:
    body = row["Body"].strip()
    # Some bodies lack the stop that parts them from the question.
    body = body if body.endswith((".", "!", "?", ",")) else f"{body}."
    answer = row["Answer"]
    text = (
        f"{answer:.12g}" if isinstance(answer, int | float) else answer.strip().removesuffix(".0")
    )
    return Item(f"{body} {row['Question'].strip()}", text)


SVAMP = PublicSet("svamp", "number", Hub("ChilleD/SVAMP"), (700, 300), _item)
