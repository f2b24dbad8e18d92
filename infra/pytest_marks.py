"""Marks of tests, read from their sources: nothing is imported, so no test dependency needs to be installed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct


class MarkedTest(Struct, frozen=True):
    """A mark of a module, whose `test` is empty, or of a test function. `arguments`: those of the mark, as texts."""

    file: str
    test: str
    line: int
    arguments: tuple[str, ...]


def marked_tests(path: Path, root: Path, mark: str) -> Iterator[MarkedTest]:
    """Yield each `pytest.mark.MARK(...)` of a module: first those of its `pytestmark`, then those of its functions."""
    file, tree = path.relative_to(root).as_posix(), parsed(path)
    for test, decorators in [
        ("", _module_marks(tree)),
        *((each.name, each.decorator_list) for each in functions(tree)),
    ]:
        for call in calls(decorators, mark):
            yield MarkedTest(file, test, call.lineno, tuple(literal(argument) for argument in call.args))


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def calls(nodes: Iterable[ast.expr], name: str) -> Iterator[ast.Call]:
    """Yield the nodes that call a function or an attribute `name`."""
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == name:
            yield node


def literal(node: ast.expr) -> str:
    """Return the value of a literal, as text."""
    return str(ast.literal_eval(node))


def _module_marks(tree: ast.Module) -> list[ast.expr]:
    """Return the marks of a module's `pytestmark`, which is one mark or a list."""
    return [
        mark
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "pytestmark" for name in node.targets)
        for mark in (node.value.elts if isinstance(node.value, ast.List) else [node.value])
    ]
