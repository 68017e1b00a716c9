"""AddSub (Hosseini et al. 2014): word problems of additions and subtractions."""

from limbeck.tasks.public.base import Hub, PublicSet
from limbeck.tasks.public.single_eq import mawps_item

__all__ = ["ADDSUB"]

ADDSUB = PublicSet(
    "addsub",
    "number",
    Hub("HuggingFaceTB/math_tasks", file="data/mawps/addsub.jsonl", test=None),
    (276, 119),
    mawps_item,
)
