"""How a domain words a chain of gains and losses: the skill is the same, the text is another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from limbeck.tasks.words import NAMES, THINGS

__all__ = ["BUS", "GAME", "HARBOUR", "SHOP", "STORIES", "SUMS", "Surface"]

_PLACES = ("Athens", "Bergen", "Cadiz", "Dover", "Genoa", "Lisbon", "Oslo", "Riga", "Tunis")


@dataclass(frozen=True)
class Surface:
    """The words of a domain.

    Attributes:
        gains: Verbs of what adds.
        losses: Verbs of what takes away.
        opening: Format string of `who`, `what` and the `number` at the start.
        change: Of a `verb` and its `number`.
        closing: Of `what`: the end of the question.
        who: Whom a question may be about.
        what: What it may count.
    """

    gains: tuple[str, ...]
    losses: tuple[str, ...]
    opening: str
    change: str
    closing: str
    who: tuple[str, ...] = ("",)
    what: tuple[str, ...] = ("",)

    def read(self, question: str) -> tuple[int, list[int]] | None:
        """Read the first number and the signed changes; None where the text is no such question."""
        found = self._form.fullmatch(question)
        if found is None:
            return None
        changes = [
            int(change["number"]) if change["verb"] in self.gains else -int(change["number"])
            for change in self._change.finditer(found["changes"])
        ]
        return int(found["number"]), changes

    @cached_property
    def _change(self) -> re.Pattern[str]:
        return re.compile("".join(self._parts(self.change)))

    @cached_property
    def _form(self) -> re.Pattern[str]:
        unnamed = re.sub(r"\?P<\w+>", "?:", self._change.pattern)
        opening, closing = ("".join(self._parts(part)) for part in (self.opening, self.closing))
        return re.compile(f"{opening}(?P<changes>(?:{unnamed})+){closing}")

    def _parts(self, template: str) -> Iterator[str]:
        """Turn a format string into a pattern, piece by piece."""
        fields = {
            "who": r"\w+",
            "what": r"\w+",
            "number": r"(?P<number>\d+)",
            "verb": rf"(?P<verb>{'|'.join(map(re.escape, self.gains + self.losses))})",
        }
        for place, piece in enumerate(re.split(r"\{(\w+)\}", template)):
            yield fields[piece] if place % 2 else re.escape(piece)


SHOP = Surface(
    gains=("gets", "buys"),
    losses=("loses", "sells"),
    opening="{who} has {number} {what}",
    change=", {verb} {number}",
    closing=". How many are left?",
    who=NAMES,
    what=THINGS,
)
BUS = Surface(
    gains=("board", "enter"),
    losses=("exit", "alight"),
    opening="The bus from {who} carries {number} {what}",
    change="; {number} {verb}",
    closing=". Count the {what}.",
    who=_PLACES,
    what=("clerks", "cooks", "monks", "nurses", "pupils", "sailors", "tourists"),
)
GAME = Surface(
    gains=("win", "score"),
    losses=("drop", "forfeit"),
    opening="The {who} start with {number} {what}",
    change=" and {verb} {number}",
    closing=". What do they end with?",
    who=("Bears", "Comets", "Foxes", "Hawks", "Lions", "Rockets", "Wolves"),
    what=("crowns", "goals", "points", "rings", "stars", "tokens"),
)
HARBOUR = Surface(
    gains=("enter", "dock"),
    losses=("exit", "sail"),
    opening="The harbour of {who} holds {number} {what}",
    change="; {number} {verb}",
    closing=". How many {what} are there?",
    who=_PLACES,
    what=("barges", "boats", "ferries", "ships", "tugs", "yachts"),
)
SUMS = Surface(
    gains=("+",),
    losses=("-",),
    opening="What is {number}",
    change=" {verb} {number}",
    closing="?",
)
STORIES = (SHOP, BUS, GAME, HARBOUR)
"""The surfaces that tell of somebody; `SUMS` is the skill bare."""
