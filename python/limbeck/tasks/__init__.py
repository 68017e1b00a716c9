"""Reasoning tasks: generated ones with an oracle teacher, and questions read from record files."""

from limbeck.tasks.arithmetic import Arithmetic
from limbeck.tasks.base import Chain, Question, Task, split_of
from limbeck.tasks.coin_flip import CoinFlip
from limbeck.tasks.last_letters import LastLetters
from limbeck.tasks.load import load
from limbeck.tasks.registry import NAMES, get
from limbeck.tasks.shuffled_objects import ShuffledObjects
from limbeck.tasks.teach import write_records

__all__ = [
    "NAMES",
    "Arithmetic",
    "Chain",
    "CoinFlip",
    "LastLetters",
    "Question",
    "ShuffledObjects",
    "Task",
    "get",
    "load",
    "split_of",
    "write_records",
]
