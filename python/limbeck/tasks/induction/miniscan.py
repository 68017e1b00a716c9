"""MiniSCAN: what do the words of an unknown language do?

After Lake, Linzen & Baroni (arXiv 1901.04587). Some words are names of colours, others functions of
what stands around them, and some functions bind tighter than others. The public set has one grammar
in many words; here the grammar is drawn too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from limbeck.errors import InputError
from limbeck.induction.rules import parse_grammar, write_grammar
from limbeck.induction.rules.chart import Production, best_reading, is_ambiguous
from limbeck.induction.solvers import solve_miniscan
from limbeck.induction.task import InductionTask, Kind
from limbeck.tasks.base import check_range
from limbeck.tasks.induction.base import Completed, Induction

__all__ = ["MiniScan"]

_COLOURS = ("RED", "BLUE", "GREEN", "YELLOW", "PINK", "BLACK", "WHITE", "BROWN")
_ONSETS = ("b", "bl", "d", "dr", "f", "fl", "g", "k", "kl", "l", "m", "n", "p", "pr", "s", "st")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "oo")
_CODAS = ("b", "ck", "d", "ff", "g", "lt", "m", "n", "p", "sk", "t", "x")
# What a function makes of the part before it, and of the parts before and behind it.
_UNARY = ((0, 0), (0, 0, 0), (0, 0, 0, 0))
_BINARY = (
    *((1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0)),
    *((0, 1, 0, 1), (1, 0, 1, 0), (0, 1, 1, 0), (1, 0, 0, 1), (0, 0, 1, 1), (1, 1, 0, 0)),
)
_DRAWS = 200
_LONGEST_OUTPUT = 16  # words


@dataclass(frozen=True)
class MiniScan(Induction):
    """Grammars with names and functions of one part or of two.

    Args:
        demonstrations: Pairs shown of a task, 8 to 32: each name, each function twice and each two
            functions are among them.
        queries: Questions asked of a task, 1 to 16.
        names: Words that stand for a colour, 3 to 8.
        functions: Words that stand for a function, 2 to 4.
    """

    name: ClassVar[str] = "miniscan"
    kind: ClassVar[Kind] = "miniscan"
    demonstrations: int = 14
    queries: int = 10
    names: int = 4
    functions: int = 3

    def __post_init__(self) -> None:
        check_range(self, demonstrations=(8, 32), queries=(1, 16), names=(3, 8), functions=(2, 4))
        least = self.names + 2 * self.functions + self.functions * (self.functions - 1) // 2
        if self.demonstrations < least:
            raise InputError(
                f"{self.name}: demonstrations: {self.demonstrations} are too few for {self.names} "
                f"names and {self.functions} functions; give {least} or more"
            )

    def draw_rule(self, rng: random.Random) -> str:
        """Draw words, colours, and functions in the order in which they bind."""
        words = self._words(rng)
        colours = rng.sample(_COLOURS, self.names)
        # A function of each kind at least, else nothing could bind tighter than another.
        arities = [1, 2, *(rng.choice((1, 2)) for _ in range(self.functions - 2))]
        rng.shuffle(arities)
        productions = [
            Production((word,), (colour,), self.functions + 1)
            for word, colour in zip(words, colours, strict=False)
        ]
        for rank, (word, arity) in enumerate(
            zip(words[self.names :], arities, strict=True), start=1
        ):
            source = (0, word) if arity == 1 else (0, word, 1)
            target = rng.choice(_UNARY if arity == 1 else _BINARY)
            productions.append(Production(source, target, self.functions + 1 - rank))
        return write_grammar(productions)

    def skeleton(self, rule: str) -> str:
        """Say what each function does, the tightest first: the words are chance."""
        functions = [p for p in parse_grammar(rule).productions if isinstance(p.source[0], int)]
        return "; ".join(f"{len(p.source)}: {p.target}" for p in functions)

    def draw_inputs(self, rule: str, rng: random.Random) -> list[str]:
        """Draw names, functions alone and two at a time, then any phrases."""
        productions = parse_grammar(rule).productions
        words = [str(p.source[0]) for p in productions if len(p.source) == 1]
        functions = [p.source for p in productions if len(p.source) > 1]
        # The functions of two parts first: in `A f B u` either could be the one that is inside.
        pairs = [sorted(pair, key=len, reverse=True) for pair in combinations(functions, 2)]
        first = [[f] for f in (*functions, *functions)] + rng.sample(pairs, len(pairs))
        inputs = dict.fromkeys(words)
        for chosen in first:
            inputs[" ".join(_phrase(chosen, rng.sample(words, len(words))))] = None
        for _ in range(_DRAWS):
            if len(inputs) == self.demonstrations:
                break
            phrase = _any_phrase(functions, words, rng)
            if _is_fair(productions, phrase):
                inputs[phrase] = None
        return list(inputs)

    def complete(self, rule: str, inputs: Sequence[str], rng: random.Random) -> Completed | None:
        """Read them by the grammar, and ask phrases whose reading they determine."""
        productions = parse_grammar(rule).productions
        words = [str(p.source[0]) for p in productions if len(p.source) == 1]
        functions = [p.source for p in productions if len(p.source) > 1]
        if len(inputs) < self.demonstrations:
            return None
        if not all(_is_fair(productions, given) for given in inputs):
            return None
        asked: dict[str, None] = {}
        for _ in range(_DRAWS):
            phrase = _any_phrase(functions, words, rng)
            if phrase not in inputs and _is_fair(productions, phrase):
                asked[phrase] = None
            if len(asked) == self.queries:
                break
        else:
            return None
        shown, queries = self.run(rule, inputs), self.run(rule, list(asked))
        if shown is None or queries is None:
            raise AssertionError("what a grammar writes it reads")
        task = InductionTask(self.kind, "", tuple(shown), tuple(queries))
        determined = solve_miniscan(task) == [pair.output for pair in queries]
        return Completed(rule, shown, queries) if determined else None

    def _words(self, rng: random.Random) -> list[str]:
        words: dict[str, None] = {}
        while len(words) < self.names + self.functions:
            parts = [rng.choice(_ONSETS), rng.choice(_VOWELS), rng.choice(_CODAS)]
            words["".join(parts)] = None
        return list(words)


def _is_fair(productions: tuple[Production, ...], phrase: str) -> bool:
    """Whether a phrase has one best reading, and no endless output."""
    words = tuple(phrase.split())
    output = best_reading(productions, words)
    if output is None or len(output) > _LONGEST_OUTPUT:
        return False
    return not is_ambiguous(productions, words)


def _any_phrase(
    functions: Sequence[tuple[str | int, ...]], words: Sequence[str], rng: random.Random
) -> str:
    """A phrase with some of the functions, each once, in any order."""
    chosen = rng.sample(functions, rng.randint(1, len(functions)))
    return " ".join(_phrase(chosen, rng.choices(words, k=len(functions) + 1)))


def _phrase(functions: Sequence[tuple[str | int, ...]], words: Sequence[str]) -> list[str]:
    """A name, then each function, with a name behind it where it takes one."""
    left = iter(words)
    phrase = [next(left)]
    for source in functions:
        phrase += [symbol if isinstance(symbol, str) else next(left) for symbol in source[1:]]
    return phrase
