"""Last letters: which letters end these names?

The task of Wei et al., Chain-of-Thought Prompting (arXiv 2201.11903). The letters are written
apart, so that a vocabulary of words reads them one by one.
"""

import random
import re
from dataclasses import dataclass
from string import ascii_lowercase
from typing import ClassVar

from limbeck.tasks.base import Chain, Task, check_range
from limbeck.tasks.words import NAMES

__all__ = ["LastLetters"]

_FORM = re.compile(r"Which letters end the names (\w+(?: \w+)*)\?")


def _ending(_before: str, name: str, after: str) -> str:
    return f"{name} ends in {after[-1]}: {' '.join(after)}"


def _writing(before: str, name: str, after: str) -> str:
    start = f"to {' '.join(before)}" if before else "first"
    return f"From {name} write {after[-1]} {start}: {' '.join(after)}"


def _letter(_before: str, name: str, after: str) -> str:
    return f"The last letter of {name} is {after[-1]}, so {' '.join(after)}"


@dataclass(frozen=True)
class LastLetters(Task[str, str]):
    """The last letters of some names, in order. The state is the letters so far.

    Args:
        names: How many names, 2 to 20.
    """

    name: ClassVar[str] = "last_letters"
    phrasings = (_ending, _letter, _writing)
    names: int = 3

    def __post_init__(self) -> None:
        check_range(self, names=(2, 20))

    def ask(self, rng: random.Random) -> str:
        """Write a random question."""
        return f"Which letters end the names {' '.join(rng.sample(NAMES, self.names))}?"

    def read(self, question: str) -> Chain[str, str]:
        """Read the names."""
        found = _FORM.fullmatch(question)
        if found is None:
            raise ValueError(f"not a question of {self.name}: {question!r}")
        return Chain("", found[1].split(" "))

    def apply(self, state: str, operation: str) -> str:
        """Append the name's last letter."""
        return state + operation[-1]

    def mistake(self, state: str, operation: str, rng: random.Random) -> str:
        """Append another letter, one of the name where it has another."""
        others = sorted(set(operation.lower()) - {operation[-1]}) or sorted(
            set(ascii_lowercase) - {operation[-1]}
        )
        return state + rng.choice(others)

    def fact(self, state: str, operation: str) -> str:  # noqa: ARG002 (the same after any letters)
        """Say the name."""
        return operation

    def conclude(self, state: str) -> str:
        """Say the letters."""
        return " ".join(state)
