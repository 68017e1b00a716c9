"""Rules as text, parsed and run exactly: object maps, grammars and list programs."""

from __future__ import annotations

from collections.abc import Callable

from limbeck.induction.rules.base import Exhausted, Rule, RuleError
from limbeck.induction.rules.grammar import Grammar, parse_grammar, write_grammar
from limbeck.induction.rules.objects import STATES, ObjectMap, parse_objects
from limbeck.induction.rules.program import FUNCTIONS, Program, parse_program
from limbeck.induction.task import Kind

__all__ = [
    "FUNCTIONS",
    "STATES",
    "Exhausted",
    "Grammar",
    "ObjectMap",
    "Program",
    "Rule",
    "RuleError",
    "parse_grammar",
    "parse_objects",
    "parse_program",
    "parse_rule",
    "write_grammar",
]

_PARSERS: dict[Kind, Callable[[str], Rule]] = {
    "acre": parse_objects,
    "list_functions": parse_program,
    "miniscan": parse_grammar,
    "one_d_arc": parse_program,
}


def parse_rule(kind: Kind, text: str) -> Rule:
    """Read a rule of a kind of task.

    Args:
        kind: Of the task.
        text: What a teacher or a student wrote. It is never executed as code.

    Raises:
        RuleError: The text is no such rule.

    Example:
        >>> parse_rule("one_d_arc", "[0] + xs[:-1]").apply("[0, 3, 3, 0]")
        '[0, 0, 3, 3]'
    """
    return _PARSERS[kind](text)
