"""What is asked of a model: a rule for demonstrations, or what a rule gives for an input.

A rule is asked for in the form that `parse_rule` reads, so that it can be run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from limbeck.induction.rules import FUNCTIONS
from limbeck.induction.task import InductionTask, Kind, Pair

__all__ = ["apply_prompt", "few_shot_prompt", "read_few_shot", "rule_prompt"]

_PAIR = re.compile(r"Input: ([^\n]*)\nOutput: ([^\n]*)\n")

_LISTS = " ".join(
    (
        "Find the rule that turns each input into its output. Write it as a Python expression over",
        "`xs`, the input list; it must give a list of whole numbers. Several lines are allowed:",
        "each is an expression whose value is `xs` in the next. You may use list comprehensions,",
        "conditional expressions, indices and slices, + - * // %, comparisons, `and`, `or`, `not`,",
        f"`in`, and only these functions: {', '.join(FUNCTIONS)}. `unique(xs)` drops repetitions,",
        "`count(xs, x)` and `index(xs, x)` stand for the methods; there are no methods, strings,",
        "lambdas or imports.",
    )
)

_RULES: dict[Kind, str] = {
    "acre": " ".join(
        (
            "Some objects switch a light on. Each input lists the objects that are present, the",
            "output says whether the light is on or off. Find out for each object whether it",
            "switches the light on, does not, or whether that cannot be determined. Write a JSON",
            'object and nothing else: {"object": "on", "another object": "off", "a third object":',
            '"undetermined"}',
        )
    ),
    "list_functions": _LISTS,
    "miniscan": " ".join(
        (
            "Find a grammar that turns each input into its output. Write each production as",
            '`Rule 1: "<input>" -> "<output>"` and below it `Priority 1: <whole number>`. `##A`',
            "and `##B` stand for phrases that the grammar itself reads, as in",
            '"##A twice" -> "##A ##A"; each stands at most once before the arrow. A production of',
            "higher priority binds tighter.",
        )
    ),
    "one_d_arc": f"{_LISTS} The numbers are colours of pixels in a row; 0 is the background.",
}

_APPLY: dict[Kind, str] = {
    "acre": " ".join(
        (
            "Apply the rule to the input. The light is on if an object that switches it on is",
            "present; else undetermined if one is present of which that is not known; else off.",
            "Answer on, off or undetermined.",
        )
    ),
    "list_functions": "Apply the rule to the input list. Answer with the output list.",
    "miniscan": " ".join(
        (
            "Apply the grammar to the input. A production of higher priority binds tighter.",
            "Answer with the output.",
        )
    ),
    "one_d_arc": "Apply the rule to the input list. Answer with the output list.",
}


def rule_prompt(task: InductionTask) -> str:
    """Ask for the rule behind the demonstrations of a task."""
    return f"{_RULES[task.kind]}\n\n{_shown(task.demonstrations)}\nRule:"


def apply_prompt(kind: Kind, rule: str, given: str) -> str:
    """Ask what a rule, as text, gives for an input."""
    return f"{_APPLY[kind]}\n\nRule: {rule.strip()}\n\nInput: {given}\nOutput:"


def few_shot_prompt(task: InductionTask, given: str) -> str:
    """Ask for the output of an input straight from the demonstrations.

    Example:
        >>> task = InductionTask("list_functions", "0", (Pair("[1]", "[2]"),), ())
        >>> print(few_shot_prompt(task, "[4]"))
        Input: [1]
        Output: [2]
        Input: [4]
        Output:
    """
    return f"{_shown(task.demonstrations)}\nInput: {given}\nOutput:"


def read_few_shot(text: str) -> tuple[tuple[Pair, ...], str] | None:
    r"""Read back what `few_shot_prompt` wrote: the demonstrations and the input.

    Returns:
        None where the text is no such prompt.

    Example:
        >>> read_few_shot("Input: [1]\nOutput: [2]\nInput: [4]\nOutput:")
        ((Pair(input='[1]', output='[2]'),), '[4]')
    """
    shown, found, last = text.strip().rpartition("\nInput: ")
    *pairs, rest = _PAIR.split(f"{shown}\n")
    given = last.removesuffix("\nOutput:")
    if not found or rest or any(pairs[0::3]) or given == last or "\n" in given:
        return None
    return tuple(map(Pair, pairs[1::3], pairs[2::3])), given


def _shown(pairs: Iterable[Pair]) -> str:
    return "\n".join(f"Input: {pair.input}\nOutput: {pair.output}" for pair in pairs)
