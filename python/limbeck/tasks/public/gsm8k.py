"""GSM8K (Cobbe et al., arXiv 2110.14168): grade-school problems with human solutions."""

from limbeck.tasks.public.base import Hub, Item, PublicSet
from limbeck.tasks.public.rows import Row

__all__ = ["GSM8K"]


def _item(row: Row) -> Item:
    solution, _, answer = row["answer"].rpartition("####")
    extra = {"rationale": solution.strip(), "teacher": "human"}
    return Item(row["question"].strip(), answer.strip(), extra)


GSM8K = PublicSet("gsm8k", "number", Hub("openai/gsm8k", "main"), (7473, 1319), _item)
