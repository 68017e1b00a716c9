"""Exact solvers, of ACRE and of MiniSCAN: what the demonstrations alone determine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations

from limbeck.induction.rules.base import Exhausted
from limbeck.induction.rules.chart import Production, best_reading
from limbeck.induction.task import InductionTask, Pair

__all__ = ["infer_objects", "solve_acre", "solve_miniscan"]

# The orders of so many functions can all be tried.
_MOST_FUNCTIONS = 6


def solve_acre(task: InductionTask) -> list[str | None]:
    """Answer the queries of an ACRE task with what follows from its demonstrations.

    What was present while the light was off switches nothing on. Of the rest one at least, among
    those present while it was on, does. So a light is on where all that could have switched it on
    once are present again, off where nothing is present that could, else undetermined.

    Returns:
        A state for each query.
    """
    off = _harmless(task.demonstrations)
    suspects = _suspects(task.demonstrations)
    answers: list[str | None] = []
    for query in task.queries:
        present = _objects(query.input)
        if any(few <= present for few in suspects):
            answers.append("on")
        else:
            answers.append("off" if present <= off else "undetermined")
    return answers


def infer_objects(demonstrations: Sequence[Pair]) -> dict[str, str]:
    """Say of each object, in the order of its appearance, what follows from the demonstrations."""
    off, suspects = _harmless(demonstrations), _suspects(demonstrations)
    states: dict[str, str] = {}
    for pair in demonstrations:
        for name in pair.input.split(", "):
            unsure = "on" if {name} in suspects else "undetermined"
            states[name] = "off" if name in off else unsure
    return states


def _objects(given: str) -> frozenset[str]:
    return frozenset(given.split(", "))


def _harmless(demonstrations: Sequence[Pair]) -> frozenset[str]:
    dark = (_objects(pair.input) for pair in demonstrations if pair.output == "off")
    return frozenset().union(*dark)


def _suspects(demonstrations: Sequence[Pair]) -> list[frozenset[str]]:
    off = _harmless(demonstrations)
    return [_objects(pair.input) - off for pair in demonstrations if pair.output == "on"]


def solve_miniscan(task: InductionTask) -> list[str | None]:
    """Answer the queries of a MiniSCAN task by the grammar that its demonstrations determine.

    Words that stand alone are names. Any other word is a function of what stands before it, or
    before and behind it; what it does is read off a demonstration in which it is the only one, and
    which function binds tighter by trying every order. Where several orders agree with all
    demonstrations, the answer is what most of them give.

    Returns:
        An output for each query, None where no grammar of this form agrees.
    """
    names = {p.input: tuple(p.output.split()) for p in task.demonstrations if " " not in p.input}
    functions = dict.fromkeys(
        word for pair in task.demonstrations for word in pair.input.split() if word not in names
    )
    meanings = {word: _meaning(word, names, task.demonstrations) for word in functions}
    found = [production for production in meanings.values() if production is not None]
    if len(found) < len(functions) or len(found) > _MOST_FUNCTIONS:
        return [None] * len(task.queries)
    leaves = [Production((name,), output, len(found) + 1) for name, output in names.items()]
    votes: list[Counter[str]] = [Counter() for _ in task.queries]
    for grammar in _orders(leaves, found):
        if all(_read(grammar, pair.input) == pair.output for pair in task.demonstrations):
            for vote, query in zip(votes, task.queries, strict=True):
                vote[_read(grammar, query.input) or ""] += 1
    return [vote.most_common(1)[0][0] or None if vote else None for vote in votes]


def _orders(
    leaves: list[Production], functions: list[Production]
) -> Iterator[tuple[Production, ...]]:
    for order in permutations(functions):
        ranked = (f._replace(priority=rank) for rank, f in enumerate(order, start=1))
        yield (*leaves, *ranked)


def _read(grammar: tuple[Production, ...], given: str) -> str | None:
    try:
        output = best_reading(grammar, tuple(given.split()))
    except Exhausted:
        return None
    return None if output is None else " ".join(output)


def _meaning(
    word: str, names: dict[str, tuple[str, ...]], demonstrations: Sequence[Pair]
) -> Production | None:
    """What a function does, from a demonstration of it with distinct names and nothing else."""
    for pair in demonstrations:
        words = pair.input.split()
        parts = [given for given in words if given != word]
        if len(words) - len(parts) != 1 or not set(parts) <= names.keys():
            continue
        outputs = [names[part] for part in parts]
        if len(set(parts)) < len(parts) or any(len(output) != 1 for output in outputs):
            continue
        places = {output[0]: place for place, output in enumerate(outputs)}
        if len(places) < len(outputs):
            continue
        counter = iter(range(len(parts)))
        source = tuple(given if given == word else next(counter) for given in words)
        target = tuple(places.get(symbol, symbol) for symbol in pair.output.split())
        return Production(source, target, 0)
    return None
