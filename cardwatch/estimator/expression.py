"""Formulas of the estimator: as text for readers, as a tree for the browser, and evaluated.

The text is a small part of Python's grammar: numbers, names, + - * /, `min`, `max`, `ceil`, and conditions such as
`a if b > c else d`. The tree is a number, a name or a list of an operator and its arguments, so that its JSON form can
be evaluated anywhere; `services/console/page/src/estimator/expression.ts` does it in the browser. Each operation is
exact or rounded once by IEEE 754, so both give the same bits.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any, Final, TypeAlias

Tree: TypeAlias = float | str | list[Any]
"""A number, the name of a quantity, or an operator with its arguments."""

_BINARY: Final[dict[type[ast.operator], str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARED: Final[dict[type[ast.cmpop], str]] = {ast.Gt: ">", ast.LtE: "<="}
_CALLED: Final = ("min", "max", "ceil")
_OPERATIONS: Final[dict[str, Callable[..., float]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    ">": lambda a, b: float(a > b),
    "<=": lambda a, b: float(a <= b),
    "min": min,
    "max": max,
    "ceil": lambda a: float(ceil(a)),
}


def parse(formula: str) -> Tree:
    """Return the tree of a formula. Raises `ValueError` for text that is none, with the part that is not understood.

    >>> parse("max(1, ceil(rate * 42.5))")
    ['max', 1.0, ['ceil', ['*', 'rate', 42.5]]]
    """
    try:
        return _tree(ast.parse(formula.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"{formula!r} is no formula: {error.msg}") from error


def evaluate(tree: Tree, values: Mapping[str, float]) -> float:
    """Return the value of a formula. Raises `KeyError` for a name without a value, `ZeroDivisionError`.

    >>> evaluate(parse("a / 2 if a > 1 else 0"), {"a": 5.0})
    2.5
    """
    if isinstance(tree, str):
        return float(values[tree])
    if isinstance(tree, int | float):
        return float(tree)
    operator, *arguments = tree
    if operator == "if":
        condition, then, otherwise = arguments
        return evaluate(then if evaluate(condition, values) else otherwise, values)
    return _OPERATIONS[operator](*(evaluate(argument, values) for argument in arguments))


def branch_taken(tree: Tree, values: Mapping[str, float]) -> Tree:
    """Return a formula without the branches of its conditions that are not taken with these values.

    The condition stays as an argument: what it compares is part of the answer.

    >>> branch_taken(parse("given if given > 0 else rate / 2"), {"given": 7.0, "rate": 4.0})
    ['if', ['>', 'given', 0.0], 'given']
    """
    if not isinstance(tree, list):
        return tree
    operator, *arguments = tree
    if operator == "if":
        condition, then, otherwise = arguments
        taken = then if evaluate(condition, values) else otherwise
        return ["if", condition, branch_taken(taken, values)]
    return [operator, *(branch_taken(argument, values) for argument in arguments)]


def names_in(tree: Tree) -> Iterator[str]:
    """Yield the names of a formula in their order, repeated ones too."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list):
        for argument in tree[1:]:
            yield from names_in(argument)


def _tree(node: ast.expr) -> Tree:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id=name):
            return name
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
            return [_BINARY[type(operator)], _tree(left), _tree(right)]
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _COMPARED:
            return [_COMPARED[type(operator)], _tree(left), _tree(right)]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _CALLED and arguments:
            return [name, *map(_tree, arguments)]
        case ast.IfExp(test=ast.Compare() as test, body=then, orelse=otherwise):
            return ["if", _tree(test), _tree(then), _tree(otherwise)]
    raise ValueError(f"{ast.unparse(node)!r} is no part of a formula")
