"""The public question sets by name; those that a generated task is named after end in `_public`."""

from limbeck.tasks.public.addsub import ADDSUB
from limbeck.tasks.public.aqua import AQUA
from limbeck.tasks.public.base import PublicSet, PublicTask
from limbeck.tasks.public.coin_flip import COIN_FLIP
from limbeck.tasks.public.commonsense_qa import COMMONSENSE_QA
from limbeck.tasks.public.date_understanding import DATE_UNDERSTANDING
from limbeck.tasks.public.gsm8k import GSM8K
from limbeck.tasks.public.last_letters import LAST_LETTERS
from limbeck.tasks.public.multiarith import MULTIARITH
from limbeck.tasks.public.shuffled_objects import SHUFFLED_OBJECTS
from limbeck.tasks.public.single_eq import SINGLE_EQ
from limbeck.tasks.public.strategy_qa import STRATEGY_QA
from limbeck.tasks.public.svamp import SVAMP

__all__ = ["SETS", "PublicSet", "PublicTask"]

SETS: dict[str, PublicSet] = {
    each.name: each
    for each in (
        *(SINGLE_EQ, ADDSUB, MULTIARITH, GSM8K, AQUA, SVAMP),
        *(DATE_UNDERSTANDING, SHUFFLED_OBJECTS, LAST_LETTERS, COIN_FLIP),
        *(COMMONSENSE_QA, STRATEGY_QA),
    )
}
