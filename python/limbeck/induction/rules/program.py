"""Rules for lists: expressions in a small part of Python, one a line, each over `xs`.

`xs` is the input, then what the line above gave. The text is parsed by `ast` and never compiled:
`machine` walks the tree, within limits. There are whole numbers, truth values and lists of them,
comprehensions, and the functions of `FUNCTIONS`; no attributes, strings, powers or definitions, so
nothing reaches beyond the values.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass

from limbeck.induction.rules.base import Exhausted, RuleError
from limbeck.induction.rules.machine import FUNCTIONS, LARGEST, Failed, Machine

__all__ = ["FUNCTIONS", "Program", "parse_program", "read_list"]

_MOST_LINES = 16
_LONGEST_LINE = 500
_DEEPEST = 30
_LONGEST_INPUT = 20_000  # characters

_FENCE = re.compile(r"```(?:python)?[ \t]*\n(.*?)```", re.DOTALL)
_ASSIGNED = re.compile(r"xs\s*=(?!=)")

_PLAIN = (
    *(ast.List, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.Subscript, ast.Slice, ast.Load, ast.Store, ast.And, ast.Or, ast.Not, ast.USub),
    *(ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
)


@dataclass(frozen=True)
class Program:
    """Expressions that are applied one after the other."""

    lines: tuple[ast.expr, ...]

    def apply(self, given: str) -> str | None:
        """Return the list for a list; None where a line fails, ends in none, or needs too much."""
        values = read_list(given)
        if values is None:
            return None
        machine = Machine()
        result: object = values
        try:
            for line in self.lines:
                result = machine.run(line, {"xs": result})
        except (Failed, Exhausted):
            return None
        if isinstance(result, list) and all(type(x) is int for x in result):
            return str(result)
        return None


def parse_program(text: str) -> Program:
    r"""Read expressions.

    Args:
        text: One expression a line; `Rule:` before it, a code fence around it, `xs =` before a
            line and `#` remarks are taken off.

    Raises:
        RuleError: A line is no expression of the language, or is too long or too deep.

    Example:
        >>> parse_program("[x for x in xs if x > 3]\nxs[::-1]").apply("[5, 1, 7]")
        '[7, 5]'
    """
    fenced = _FENCE.findall(text)
    body = fenced[-1] if fenced else re.sub(r"^\s*rule\s*:", "", text, flags=re.I)
    lines = [bare for line in body.splitlines() if (bare := line.partition("#")[0].strip())]
    if not lines:
        raise RuleError("has no expression")
    if len(lines) > _MOST_LINES:
        raise RuleError(f"has more than {_MOST_LINES} lines")
    return Program(tuple(_expression(_ASSIGNED.sub("", line, count=1)) for line in lines))


def read_list(given: str) -> list[int] | None:
    """Read a list of whole numbers within the limits; None where the text is none."""
    if len(given) > _LONGEST_INPUT:
        return None
    try:
        values = json.loads(given)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(type(x) is int for x in values):
        return None
    return values if all(abs(x) <= LARGEST for x in values) else None


def _expression(line: str) -> ast.expr:
    if len(line) > _LONGEST_LINE:
        raise RuleError(f"a line of more than {_LONGEST_LINE} characters")
    try:
        with warnings.catch_warnings():
            # Such as `0in xs`, which is bad style and nothing worse.
            warnings.simplefilter("ignore")
            tree = ast.parse(line.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RuleError(f"no expression: {line.strip()[:40]!r}") from error
    _check(tree, frozenset({"xs"}), 0)
    return tree


def _check(node: ast.AST, names: frozenset[str], depth: int) -> None:
    """Refuse whatever is not of the language, with names that nothing binds."""
    if depth > _DEEPEST:
        raise RuleError(f"deeper than {_DEEPEST} levels")
    match node:
        case ast.Name():
            if node.id not in names:
                raise RuleError(f"{node.id!r} is unknown")
        case ast.Constant():
            if not isinstance(node.value, int) or node.value > LARGEST:
                raise RuleError("a constant that is no small whole number")
        case ast.Call():
            _check_call(node)
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                _check(argument, names, depth + 1)
        case ast.ListComp() | ast.GeneratorExp():
            _check_comprehension(node, names, depth + 1)
        case _ if isinstance(node, _PLAIN):
            for child in ast.iter_child_nodes(node):
                _check(child, names, depth + 1)
        case _:
            raise RuleError(f"{type(node).__name__} is not in the language")


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        raise RuleError(f"only {', '.join(FUNCTIONS)} can be called")
    least, most = FUNCTIONS[node.func.id].arguments
    if not least <= len(node.args) <= most:
        raise RuleError(f"{node.func.id} takes {least} to {most} arguments")
    allowed = ("reverse",) if node.func.id == "sorted" else ()
    if any(keyword.arg not in allowed for keyword in node.keywords):
        raise RuleError(f"{node.func.id} has no such keyword")


def _check_comprehension(
    node: ast.ListComp | ast.GeneratorExp, names: frozenset[str], depth: int
) -> None:
    for part in node.generators:
        if part.is_async:
            raise RuleError("async is not in the language")
        _check(part.iter, names, depth)
        targets = part.target.elts if isinstance(part.target, ast.Tuple) else [part.target]
        bound = [target.id for target in targets if isinstance(target, ast.Name)]
        if len(bound) < len(targets) or not bound:
            raise RuleError("a comprehension binds names or pairs of names")
        names |= frozenset(bound)
        for condition in part.ifs:
            _check(condition, names, depth)
    _check(node.elt, names, depth)
