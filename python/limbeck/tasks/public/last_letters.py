"""Last letter concatenation (Wei et al., arXiv 2201.11903).

The generated task `last_letters` is made after it, in fewer words.
"""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["LAST_LETTERS"]


def _item(row: Row) -> Item:
    return Item(row["question"].strip(), row["answer"].strip())


LAST_LETTERS = PublicSet(
    "last_letters_public", "letters", Hub("ChilleD/LastLetterConcat"), (350, 150), _item
)
