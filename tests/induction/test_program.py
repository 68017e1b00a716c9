"""The language of list rules: as Python where it is Python, and nothing beyond."""

from __future__ import annotations

import ast
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.induction.rules import FUNCTIONS, RuleError, parse_program
from limbeck.induction.rules.base import Exhausted
from limbeck.induction.rules.machine import Machine
from limbeck.tasks.induction.list_functions import _STEPS as FUNCTION_STEPS
from limbeck.tasks.induction.lists import draw_steps
from limbeck.tasks.induction.one_d_arc import _STEPS as ROW_STEPS

# Python's own functions, and ours in their plainest form.
OWN = {
    "unique": lambda xs: [x for n, x in enumerate(xs) if x not in xs[:n]],
    "count": lambda xs, x: sum(1 for y in xs if y == x),
    "index": lambda xs, x: next(n for n, y in enumerate(xs) if y == x),
}


def in_python(rule, xs):
    """What Python itself gives: only for rules that this file or the package writes."""
    builtins = vars(__import__("builtins"))
    known = {name: OWN.get(name, builtins.get(name)) for name in FUNCTIONS}
    for line in rule.split("\n"):
        try:
            xs = list(eval(line, {"__builtins__": {}, **known, "xs": xs}))
        except (IndexError, ValueError, TypeError, ZeroDivisionError):
            return None
    return str(xs)


@pytest.mark.parametrize("steps", [FUNCTION_STEPS, ROW_STEPS], ids=["functions", "rows"])
@given(seed=st.randoms(use_true_random=False), xs=st.lists(st.integers(0, 12), max_size=12))
@settings(max_examples=50, deadline=None)
def test_drawn_rules_give_what_python_gives(steps, seed, xs):
    rule = draw_steps(steps, 3, seed)
    assert parse_program(rule).apply(str(xs)) == in_python(rule, xs)


@pytest.mark.parametrize(
    "rule",
    [
        "[a * b for a in xs for b in xs if a < b < 9]",
        "[x if x > 2 else -x for x in xs]",
        "[i + x for i, x in enumerate(reversed(xs))]",
        "[a - b + c for a, b, c in zip(xs, xs[1:], xs[2:])]",
        "sorted(unique(xs), reverse=True)[:3]",
        "[sum(y for y in xs if y % 2 == x % 2) for x in xs]",
        "[int(x in [1, 2] or not x) for x in xs]",
        "[x for x in xs if 0 < x and any(y > x for y in xs)]",
        "[len([y for y in xs if y == x]) for x in range(3)]",
        "xs[-1:] + xs[:-1] if len(xs) > 1 else xs + [7]",
        "[x for pair in [[x, x] for x in xs] for x in pair]",
        "[x // 2 for x in xs if x % 2 != 1] * 2",
        "[index(xs, max(xs)), count(xs, xs[0]), min(xs[0], 2), abs(-3)]",
        "[+x for x in xs]",
        "[x for x in xs[::-2]]",
        "list(range(1, 9, 3))",
        "[all(xs) == False]",
        "[xs[x] for x in xs]",
        "[10 // x for x in xs]",
        "2 * xs",
    ],
)
@pytest.mark.parametrize("xs", [[], [3], [0, 1, 2], [4, 1, 1, 3, 5, 2, 8]])
def test_the_language_is_pythons(rule, xs):
    expected = in_python(rule, xs)
    if "[all" in rule or "[+" in rule:
        expected = None  # truth values are no numbers of a list; a plus sign is not in the language
    if "+x" in rule:
        with pytest.raises(RuleError):
            parse_program(rule)
    else:
        assert parse_program(rule).apply(str(xs)) == expected


def test_wrappings_are_taken_off():
    for text in (
        "Rule: xs[::-1]",
        "So the rule is:\n```python\nxs = xs[::-1]  # turned round\n```\nas shown.",
        "xs=xs[::-1]",
        "  xs[::-1]\n\n",
    ):
        assert parse_program(text).apply("[1, 2]") == "[2, 1]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no expression"),
        ("Reverse the list.", "no expression"),
        ("reverse", "unknown"),
        ("xs\n" * 17, "more than 16 lines"),
        ("xs + " * 200 + "xs", "more than 500 characters"),
        ("(" * 240 + "xs" + ")" * 240, "no expression"),
        ("-" * 400 + "1", "deeper"),
        ("xs" + "[0]" * 120, "deeper"),
        ("9 ** 9 ** 9", "Pow"),
        ("[1 << 99]", "LShift"),
        ("10000000000000", "small whole number"),
        ("[1.5]", "small whole number"),
        ("['a' * 9]", "small whole number"),
        ("f'{xs}'", "JoinedStr"),
        ("xs.__class__", "Attribute"),
        ("xs.append(1)", "called"),
        ("().__class__.__bases__[0].__subclasses__()", "called"),
        ("__import__('os').system('true')", "called"),
        ("open('/etc/passwd')", "called"),
        ("eval('1')", "called"),
        ("(lambda f: f(f))(lambda f: f(f))", "called"),
        ("[lambda: 1]", "Lambda"),
        ("[(y := 1)]", "NamedExpr"),
        ("{1: 2}", "Dict"),
        ("[*xs]", "Starred"),
        ("max(*xs)", "Starred"),
        ("max(xs, key=len)", "keyword"),
        ("sorted(xs, **{})", "keyword"),
        ("len(xs, xs)", "arguments"),
        ("len", "unknown"),
        ("[y for x in xs]", "unknown"),
        ("[x for x in xs] + [x]", "unknown"),
        ("[0 for xs[0] in xs]", "binds names"),
        ("[0 for (a, (b, c)) in xs]", "binds names"),
        ("xs = [1]; xs", "no expression"),
        ("import os", "no expression"),
        ("while True: pass", "no expression"),
        ("xs\x00", "no expression"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_reason(text, why):
    with pytest.raises(RuleError, match=why):
        parse_program(text)


HOSTILE = [
    "[0] * 1000000000000",
    "xs * 1000 * 1000",
    "list(range(1000000000000))",
    "[x * 999999999999 * 999999999999 for x in xs]",
    "[0 for a in xs for b in xs for c in xs for d in xs for e in xs for f in xs]",
    "[0 for a in range(999) for b in range(999) if a < 0]",
    "[sum([sum(range(999)) for b in range(999)]) for a in range(999)]",
    "[x for x in zip(range(999), range(999), range(999), range(999))]",
    "[a for a in [[xs, xs]] for b in [[a, a]] for c in [[b, b]] if c == c]",
    "[[xs] * 99] * 99",
    "enumerate(enumerate(xs))",
    "[count(range(900), x) for x in range(900)]",
    "[int(a in range(900)) for a in range(900)]",
    "\n".join(["xs + xs"] * 16),
    "[xs[0]][5]",
    "[1 // 0]",
    "[len(3)]",
    "[sum(4)]",
    "[3][xs]",
    "xs + 1",
    "1 + xs",
    "[a for a, b in xs]",
    "3",
    "xs > [1]",
    "[xs]",
    "xs[::0]",
    "min([])",
]


@pytest.mark.parametrize("rule", HOSTILE)
def test_what_is_too_much_or_impossible_gives_nothing(rule):
    program = parse_program(rule)
    tracemalloc.start()
    try:
        assert program.apply("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]") is None
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_steps_are_counted_across_the_lines_of_a_rule():
    machine = Machine()
    line = ast.parse("[a for a in range(99) for b in range(99)][:3]", mode="eval").body
    with pytest.raises(Exhausted):
        [machine.run(line, {"xs": []}) for _ in range(9)]
    assert machine.steps < 60_000


@pytest.mark.parametrize(
    "given", ["", "x", "{}", "[1.0]", "[true]", '["1"]', "[[1]]", "[1", "[" * 9_000, "[1e999]"]
)
def test_an_input_that_is_no_list_of_numbers_gives_nothing(given):
    assert parse_program("xs").apply(given) is None


def test_large_inputs_and_numbers_are_cut_off():
    assert parse_program("[len(xs)]").apply(json.dumps([1] * 9_000)) is None
    assert parse_program("xs").apply(f"[{10**13}]") is None
