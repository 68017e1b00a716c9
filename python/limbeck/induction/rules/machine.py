"""Walks the tree of a list rule, and stops it at its limits.

Every node costs a step and every value costs its size, before it is made where that is known. So
steps bound time and memory alike. A list holds numbers or lists of numbers, no deeper: else two
small values could share parts so often that comparing them took for ever.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from limbeck.induction.rules.base import Exhausted

__all__ = ["FUNCTIONS", "LARGEST", "Failed", "Function", "Machine"]

LARGEST = 10**12
_MOST_STEPS = 50_000
_LONGEST = 1_000

Names = dict[str, Any]


class Failed(Exception):  # noqa: N818 (the rule's failure, not the program's)
    """A rule does what cannot be done: an index too large, a list plus a number."""


class Function(NamedTuple):
    """A function of the language.

    Attributes:
        run: Takes values; its result is checked like any other.
        arguments: Least and greatest number of arguments.
    """

    run: Callable[..., Any]
    arguments: tuple[int, int]


def _unique(values: list[Any]) -> list[Any]:
    found: dict[Any, Any] = {}
    for value in values:
        found.setdefault(tuple(value) if isinstance(value, list) else value, value)
    return list(found.values())


def _range(*bounds: int) -> list[int]:
    numbers = range(*bounds)
    if len(numbers) > _LONGEST:
        raise Exhausted
    return list(numbers)


FUNCTIONS: dict[str, Function] = {
    "len": Function(len, (1, 1)),
    "sum": Function(sum, (1, 1)),
    "min": Function(min, (1, 8)),
    "max": Function(max, (1, 8)),
    "abs": Function(abs, (1, 1)),
    "any": Function(any, (1, 1)),
    "all": Function(all, (1, 1)),
    "int": Function(operator.index, (1, 1)),
    "list": Function(list, (1, 1)),
    "range": Function(_range, (1, 3)),
    "sorted": Function(sorted, (1, 1)),
    "reversed": Function(lambda xs: list(reversed(xs)), (1, 1)),
    "enumerate": Function(lambda xs: [[n, x] for n, x in enumerate(xs)], (1, 1)),
    "zip": Function(lambda *lists: [list(row) for row in zip(*lists, strict=False)], (1, 8)),
    "unique": Function(_unique, (1, 1)),
    "count": Function(lambda xs, x: xs.count(x), (2, 2)),
    "index": Function(lambda xs, x: xs.index(x), (2, 2)),
}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda x, xs: x in xs,
    ast.NotIn: lambda x, xs: x not in xs,
}
# What Python raises where a rule fails.
_FAILURES = (TypeError, ValueError, IndexError, ZeroDivisionError, AttributeError)


class Machine:
    """Evaluates expressions that `program` has checked, all at the cost of one budget."""

    def __init__(self) -> None:
        self.steps = 0

    def run(self, node: ast.expr, names: Names) -> Any:
        """Return the value of an expression.

        Raises:
            Failed: The expression has none.
            Exhausted: It takes more than a rule may.
        """
        try:
            return self._value(node, names)
        except _FAILURES as error:
            raise Failed(str(error)) from error

    def _value(self, node: ast.expr, names: Names) -> Any:
        self._step(1)
        return _HANDLERS[type(node)](self, node, names)

    def _name(self, node: ast.Name, names: Names) -> Any:
        return names[node.id]

    def _constant(self, node: ast.Constant, _names: Names) -> Any:
        return node.value

    def _display(self, node: ast.List | ast.Tuple, names: Names) -> Any:
        return self._checked([self._value(item, names) for item in node.elts])

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp, names: Names) -> Any:
        found: list[Any] = []
        for inner in self._bindings(node.generators, names):
            found.append(self._value(node.elt, inner))
            if len(found) > _LONGEST:
                raise Exhausted
        return self._checked(found)

    def _choice(self, node: ast.IfExp, names: Names) -> Any:
        chosen = node.body if self._value(node.test, names) else node.orelse
        return self._value(chosen, names)

    def _unary(self, node: ast.UnaryOp, names: Names) -> Any:
        operand = self._value(node.operand, names)
        return not operand if isinstance(node.op, ast.Not) else -operand

    def _bindings(self, parts: Sequence[ast.comprehension], names: Names) -> Iterator[Names]:
        """The names that the parts of a comprehension bind, for each of its rounds."""
        if not parts:
            yield names
            return
        part, rest = parts[0], parts[1:]
        for item in self._list(self._value(part.iter, names)):
            self._step(1 + len(names))
            inner = {**names, **_bind(part.target, item)}
            if all(self._value(condition, inner) for condition in part.ifs):
                yield from self._bindings(rest, inner)

    def _logic(self, node: ast.BoolOp, names: Names) -> Any:
        value = None
        for operand in node.values:
            value = self._value(operand, names)
            if bool(value) == isinstance(node.op, ast.Or):
                break
        return value

    def _compare(self, node: ast.Compare, names: Names) -> bool:
        left = self._value(node.left, names)
        for comparison, operand in zip(node.ops, node.comparators, strict=True):
            right = self._value(operand, names)
            self._step(_size(left) + _size(right))
            if not _COMPARE[type(comparison)](left, right):
                return False
            left = right
        return True

    def _binary(self, node: ast.BinOp, names: Names) -> Any:
        kind = type(node.op)
        left, right = self._value(node.left, names), self._value(node.right, names)
        if isinstance(left, int) and isinstance(right, list):
            left, right = right, left
            if kind is not ast.Mult:
                raise Failed("a number and a list")
        if isinstance(left, list) and isinstance(right, int) and kind is ast.Mult:
            self._afford(_size(left) * max(right, 0))
        elif isinstance(left, list):
            self._afford(_size(left) + _size(right))
        return self._checked(_BINARY[kind](left, right))

    def _item(self, node: ast.Subscript, names: Names) -> Any:
        values = self._list(self._value(node.value, names))
        if not isinstance(node.slice, ast.Slice):
            return values[self._value(node.slice, names)]
        ends = (node.slice.lower, node.slice.upper, node.slice.step)
        bounds = [None if end is None else self._value(end, names) for end in ends]
        return self._checked(values[slice(*bounds)])

    def _call(self, node: ast.Call, names: Names) -> Any:
        assert isinstance(node.func, ast.Name)
        arguments = [self._value(argument, names) for argument in node.args]
        keywords = {k.arg: bool(self._value(k.value, names)) for k in node.keywords if k.arg}
        self._step(sum(map(_size, arguments)))
        return self._checked(FUNCTIONS[node.func.id].run(*arguments, **keywords))

    def _checked(self, value: Any) -> Any:
        """Pay for a value, which must be within the limits."""
        if isinstance(value, list):
            self._afford(_size(value))
            if any(isinstance(x, list) and any(isinstance(y, list) for y in x) for x in value):
                raise Failed("a list of lists of lists")
        elif abs(value) > LARGEST:
            raise Exhausted
        return value

    def _list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Failed(f"{value} is no list")
        return value

    def _afford(self, size: int) -> None:
        if size > _LONGEST:
            raise Exhausted
        self._step(size)

    def _step(self, cost: int) -> None:
        self.steps += cost
        if self.steps > _MOST_STEPS:
            raise Exhausted


_HANDLERS: dict[type[ast.expr], Callable[[Machine, Any, Names], Any]] = {
    ast.Name: Machine._name,
    ast.Constant: Machine._constant,
    ast.List: Machine._display,
    ast.Tuple: Machine._display,
    ast.ListComp: Machine._comprehension,
    ast.GeneratorExp: Machine._comprehension,
    ast.IfExp: Machine._choice,
    ast.BoolOp: Machine._logic,
    ast.Compare: Machine._compare,
    ast.UnaryOp: Machine._unary,
    ast.BinOp: Machine._binary,
    ast.Subscript: Machine._item,
    ast.Call: Machine._call,
}


def _size(value: Any) -> int:
    """The number of values in a value, one at least."""
    if not isinstance(value, list):
        return 1
    return 1 + sum(len(x) if isinstance(x, list) else 1 for x in value)


def _bind(target: ast.expr, item: Any) -> Names:
    if isinstance(target, ast.Name):
        return {target.id: item}
    assert isinstance(target, ast.Tuple)
    if not isinstance(item, list) or len(item) != len(target.elts):
        raise Failed(f"{item} are not {len(target.elts)} values")
    return {
        name.id: x for name, x in zip(target.elts, item, strict=True) if isinstance(name, ast.Name)
    }
