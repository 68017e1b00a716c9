"""The chart gives what a walk over every single reading gives."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.induction.rules.base import Exhausted
from limbeck.induction.rules.chart import Production, best_reading, is_ambiguous

WORDS = ("a", "b", "f", "g")


def all_readings(productions, words):
    """Every reading as (priority of its top, points below it, output), without any sharing."""
    found = []
    for production in productions:
        if production.source != (0,):
            for parts in ways(production.source, words):
                found += combinations(
                    production, [all_readings(productions, part) for part in parts]
                )
    plain = list(found)
    for production in productions:
        if production.source == (0,):
            found += combinations(production, [plain])
    return found


def ways(source, words):
    """The parts of the words that the numbers of a source stand for, in each way it fits."""
    if not source:
        return [] if words else [[]]
    first, rest = source[0], source[1:]
    if isinstance(first, str):
        return ways(rest, words[1:]) if words[:1] == (first,) else []
    return [
        [words[:n], *parts] for n in range(1, len(words) + 1) for parts in ways(rest, words[n:])
    ]


def combinations(production, parts):
    if not parts:
        return [(production.priority, 0, production.target)]
    chosen = [[]]
    for part in parts:
        chosen = [[*before, reading] for before in chosen for reading in part]
    found = []
    for readings in chosen:
        points = sum(below + (production.priority < priority) for priority, below, _ in readings)
        output = []
        for symbol in production.target:
            output += readings[symbol][2] if isinstance(symbol, int) else (symbol,)
        found.append((production.priority, points, tuple(output)))
    return found


def slow_best(productions, words):
    readings = [
        (points + (priority > 0), output)
        for priority, points, output in all_readings(productions, words)
    ]
    if not readings:
        return None, False
    count = Counter(output for _, output in readings)
    ranked = sorted(readings, key=lambda r: (-r[0], -count[r[1]], len(r[1]), r[1]))
    most = {output for points, output in readings if points == ranked[0][0]}
    return ranked[0][1], len(most) > 1


@st.composite
def production(draw):
    arity = draw(st.integers(0, 2))
    fixed = draw(st.lists(st.sampled_from(WORDS), min_size=0 if arity else 1, max_size=2))
    source = draw(st.permutations([*range(arity), *fixed]))
    numbers = iter(range(arity))
    source = tuple(next(numbers) if isinstance(s, int) else s for s in source)
    symbols = [*range(arity), "X", "Y"]
    target = draw(st.lists(st.sampled_from(symbols), max_size=3))
    return Production(source, tuple(target), draw(st.integers(-1, 3)))


@given(st.lists(production(), min_size=1, max_size=6), st.lists(st.sampled_from(WORDS), max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_best_reading_is_that_of_a_walk_over_all(productions, words):
    leaves = [Production((word,), (word.upper(),), 3) for word in "ab"]
    # Two numbers and no word: these readings are too many for a walk.
    grammar = tuple(
        {(p.source, p.target): p for p in [*leaves, *productions] if p.source != (0, 1)}.values()
    )
    expected, ambiguous = slow_best(grammar, tuple(words)) if words else (None, False)
    assert best_reading(grammar, tuple(words)) == expected
    assert is_ambiguous(grammar, tuple(words)) == ambiguous


def test_readings_beyond_number_are_counted_not_walked():
    grammar = (Production(("a",), ("A",), 1), Production((0, 1), (0, 1), 0))
    assert best_reading(grammar, ("a",) * 16) == ("A",) * 16  # in 9,694,845 ways


@pytest.mark.parametrize(
    "target", [(0, 0, 0, 0, 0, 0, 0, 0), (0, 1, 0, 1, 0, 1), ("X",) * 32 + (0, 1)]
)
def test_endless_outputs_are_cut_off(target):
    source = (0, 1) if 1 in target else (0, "f")
    grammar = (
        Production(("a",), ("A",), 1),
        Production(source, target, 0),
        Production(source, (*target, "Z"), 0),
    )
    with pytest.raises(Exhausted):
        best_reading(grammar, ("a",) * 40 if 1 in target else ("a", *("f",) * 12))


def test_a_phrase_of_too_many_words_is_cut_off():
    with pytest.raises(Exhausted):
        best_reading((Production(("a",), ("A",), 1),), ("a",) * 65)
