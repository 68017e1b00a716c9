"""Rules of MiniSCAN: a grammar that rewrites phrases, each production with a priority.

`##A twice -> ##A ##A` says that a phrase followed by `twice` gives what the phrase gives, two
times. What `##A` stands for is itself read by the grammar. Where an input can be read in several
ways the priorities decide, as in Qiu et al. (arXiv 2310.08559); see `chart`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from limbeck.induction.rules.base import Exhausted, RuleError
from limbeck.induction.rules.chart import Production, best_reading

__all__ = ["Grammar", "parse_grammar", "write_grammar"]

_MOST = 20_000  # characters: ten times what a grammar of the public set takes
_MOST_PRODUCTIONS = 100
_MOST_SYMBOLS = 32
_MARK = "##"
_NUMBERED = re.compile(r"[ \t]*rule[ \t]+(\d+)[ \t]*:(.*)", re.I)
_PRIORITY = re.compile(r"[ \t]*priority[ \t]+(\d+)[ \t]*:[ \t]*(-?\d{1,9})\b.*", re.I)
_QUOTES = "\"'“”`"


class _Line(NamedTuple):
    number: int | None
    text: str


@dataclass(frozen=True)
class Grammar:
    """Productions, and the lines that were meant for some but are none."""

    productions: tuple[Production, ...]
    faults: tuple[str, ...] = ()

    def apply(self, given: str) -> str | None:
        """Rewrite a phrase; None where it cannot be read, or not within the limits."""
        try:
            target = best_reading(self.productions, tuple(given.split()))
        except Exhausted:
            return None
        return None if target is None else " ".join(target)


def parse_grammar(text: str) -> Grammar:
    r"""Read productions and their priorities.

    Args:
        text: `Rule 1: "##A twice" -> "##A ##A"` and, on another line, `Priority 1: 3`; without a
            priority it is 0. Where no line is numbered, every line with an arrow is a production
            and those above come first. Other lines are remarks.

    Returns:
        The grammar. A line that is meant for a production but is none (no arrow, a symbol twice on
        the left, one on the right that the left lacks) is left out and told in `faults`.

    Raises:
        RuleError: No production is left, or the text is beyond all measure.

    Example:
        >>> parse_grammar("Rule 1: dax -> RED\nRule 2: ##A fep -> ##A ##A").apply("dax fep")
        'RED RED'
    """
    if len(text) > _MOST:
        raise RuleError(f"longer than {_MOST} characters")
    lines = text.splitlines()
    numbered = [_Line(int(m[1]), m[2]) for line in lines if (m := _NUMBERED.match(line))]
    priorities = {int(m[1]): int(m[2]) for line in lines if (m := _PRIORITY.match(line))}
    if not numbered:
        numbered = [_Line(None, line) for line in lines if "->" in line]
    productions: dict[tuple[object, ...], Production] = {}
    faults: list[str] = []
    for place, line in enumerate(numbered):
        above = len(numbered) - place
        priority = above if line.number is None else priorities.get(line.number, 0)
        try:
            production = _production(line.text, priority)
        except RuleError as error:
            faults.append(f"{line.text.strip()[:80]}: {error}")
        else:
            # Said twice, the later priority counts.
            productions[production.source, production.target] = production
    if not productions:
        raise RuleError(faults[0] if faults else "has no production `<input> -> <output>`")
    if len(productions) > _MOST_PRODUCTIONS:
        raise RuleError(f"has more than {_MOST_PRODUCTIONS} productions")
    return Grammar(tuple(productions.values()), tuple(faults))


def write_grammar(productions: Iterable[Production]) -> str:
    """Write productions as `parse_grammar` reads them, numbered in their order."""
    return "\n".join(
        f'Rule {n}: "{_side(production.source)}" -> "{_side(production.target)}"\n'
        f"Priority {n}: {production.priority}"
        for n, production in enumerate(productions, start=1)
    )


def _side(symbols: tuple[str | int, ...]) -> str:
    return " ".join(
        f"{_MARK}{chr(ord('A') + symbol)}" if isinstance(symbol, int) else symbol
        for symbol in symbols
    )


def _production(text: str, priority: int) -> Production:
    sides = text.split("->")
    if len(sides) != 2:
        raise RuleError("needs one arrow")
    left, right = (_words(side) for side in sides)
    if not left:
        raise RuleError("nothing before the arrow")
    if max(len(left), len(right)) > _MOST_SYMBOLS:
        raise RuleError(f"has more than {_MOST_SYMBOLS} symbols on a side")
    variables = [word for word in left if word.startswith(_MARK)]
    places = {word: place for place, word in enumerate(variables)}
    if len(places) < len(variables):
        raise RuleError("the same nonterminal twice before the arrow")
    unknown = [word for word in right if word.startswith(_MARK) and word not in places]
    if unknown:
        raise RuleError(f"{unknown[0]} is not before the arrow")
    source = tuple(places.get(word, word) for word in left)
    return Production(source, tuple(places.get(word, word) for word in right), priority)


def _words(side: str) -> list[str]:
    return [bare for word in side.split() if (bare := word.strip(_QUOTES))]
