"""Wrong rules beside a true one: as a teacher errs, a little or altogether, in the same language.

Each is the true rule with one to three changes. What it is worth is not decided here: one that
says the same in other words satisfies every demonstration, and its score will tell.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from limbeck.induction.rules import STATES, RuleError, parse_grammar, parse_rule, write_grammar
from limbeck.induction.rules.chart import Production
from limbeck.tasks.induction.base import Induction

__all__ = ["wrong_rules"]

_DRAWS_OF_A_RULE = 50
_MOST_CHANGES = 3

Change = Callable[[Induction, str, random.Random], str]


def wrong_rules(task: Induction, rule: str, count: int, rng: random.Random) -> list[str]:
    """Draw rules of different texts, none of them the true one.

    Args:
        task: What draws rules of this kind.
        rule: The true rule.
        count: How many; fewer come where the rule is too short to be changed in so many ways.
        rng: Draws them.

    Example:
        >>> from limbeck.tasks import get
        >>> rng = random.Random(0)
        >>> sorted(wrong_rules(get("acre"), '{"red cube": "on"}', 9, rng))
        ['{"red cube": "off"}', '{"red cube": "undetermined"}']
    """
    found: dict[str, None] = {}
    for _ in range(_DRAWS_OF_A_RULE * count):
        changed = rule
        for _ in range(rng.randint(1, _MOST_CHANGES)):
            changed = _CHANGES[task.kind](task, changed, rng)
        if changed != rule and _is_rule(task, changed):
            found[changed] = None
        if len(found) == count:
            break
    return list(found)


def _is_rule(task: Induction, text: str) -> bool:
    try:
        parse_rule(task.kind, text)
    except RuleError:
        return False
    return True


def _objects(_: Induction, rule: str, rng: random.Random) -> str:
    """Give an object another state."""
    states = json.loads(rule)
    name = rng.choice(sorted(states))
    states[name] = rng.choice([state for state in STATES if state != states[name]])
    return json.dumps(states)


def _grammar(_: Induction, rule: str, rng: random.Random) -> str:
    """Let two words change their meanings, or one its output, or two functions their order."""
    productions = list(parse_grammar(rule).productions)
    names = [n for n, each in enumerate(productions) if len(each.source) == 1]
    functions = [n for n, each in enumerate(productions) if len(each.source) > 1]
    change = rng.choice(("names", "output", "order"))
    if change == "names" and len(names) > 1:
        one, other = rng.sample(names, 2)
        _swap(productions, one, other, "target")
    elif change == "order" and len(functions) > 1:
        one, other = rng.sample(functions, 2)
        _swap(productions, one, other, "priority")
    elif functions:
        place = rng.choice(functions)
        parts = [part for part in productions[place].source if isinstance(part, int)]
        target = [rng.choice(parts) for _ in range(rng.randint(1, 4))]
        productions[place] = productions[place]._replace(target=tuple(target))
    return write_grammar(productions)


def _swap(productions: list[Production], one: int, other: int, field: str) -> None:
    first, second = (getattr(productions[place], field) for place in (one, other))
    productions[one] = productions[one]._replace(**{field: second})
    productions[other] = productions[other]._replace(**{field: first})


def _program(task: Induction, rule: str, rng: random.Random) -> str:
    """Write another number, or another step in the place of one, or leave one out."""
    lines = rule.split("\n")
    place = rng.randrange(len(lines))
    numbers = list(re.finditer(r"\d+", lines[place]))
    change = rng.choice(("number", "step", "less"))
    if change == "number" and numbers:
        number = rng.choice(numbers)
        line = lines[place]
        lines[place] = f"{line[: number.start()]}{rng.randint(0, 9)}{line[number.end() :]}"
    elif change == "less" and len(lines) > 1:
        del lines[place]
    else:
        lines[place] = rng.choice(task.draw_rule(rng).split("\n"))
    return "\n".join(lines)


_CHANGES: dict[str, Change] = {
    "acre": _objects,
    "list_functions": _program,
    "miniscan": _grammar,
    "one_d_arc": _program,
}
