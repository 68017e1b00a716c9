"""Reasoning tasks: generated ones with an oracle teacher, public sets, and record files."""

from limbeck.tasks.arithmetic import Arithmetic
from limbeck.tasks.base import Chain, Question, Task, split_of
from limbeck.tasks.coin_flip import CoinFlip
from limbeck.tasks.induction import Acre, Induction, ListFunctions, MiniScan, OneDArc
from limbeck.tasks.last_letters import LastLetters
from limbeck.tasks.load import held_out_questions, load
from limbeck.tasks.public import SETS
from limbeck.tasks.registry import NAMES, files_of, find, get
from limbeck.tasks.shuffled_objects import ShuffledObjects
from limbeck.tasks.teach import write_questions, write_records

__all__ = [
    "NAMES",
    "SETS",
    "Acre",
    "Arithmetic",
    "Chain",
    "CoinFlip",
    "Induction",
    "LastLetters",
    "ListFunctions",
    "MiniScan",
    "OneDArc",
    "Question",
    "ShuffledObjects",
    "Task",
    "files_of",
    "find",
    "get",
    "held_out_questions",
    "load",
    "split_of",
    "write_questions",
    "write_records",
]
