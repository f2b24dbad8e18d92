"""Formulas as text and tree."""

from __future__ import annotations

import pytest

from cardwatch.estimator.expression import branch_taken, evaluate, names_in, parse


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("2 + 3 * 4", 14.0),
        ("(2 + 3) * 4", 20.0),
        ("24 / 4 / 2", 3.0),  # from left to right
        ("10 - 4 - 3", 3.0),
        ("max(1, ceil(x / 4))", 2.0),  # 7 / 4 = 1.75
        ("min(x, 3, 5)", 3.0),
        ("1 if x > 7 else 2", 2.0),
        ("1 if x <= 7 else 2", 1.0),
        ("x * 1e6 / 1e6", 7.0),
    ],
)
def test_a_formula_has_its_value(formula: str, value: float) -> None:
    assert evaluate(parse(formula), {"x": 7.0}) == value


@pytest.mark.parametrize(
    ("formula", "part"),
    [
        ("open('x')", r"open\('x'\)"),
        ("a ** 2", r"a \*\* 2"),
        ("a.b", r"a\.b"),
        ("True", "True"),
        ("1 if a else 2", "1 if a else 2"),
        ("a < b < c", "a < b < c"),
        ("max()", r"max\(\)"),
        ("ceil(x=1)", r"ceil\(x=1\)"),
        ("a +", "is no formula"),
    ],
)
def test_what_is_no_formula_is_refused_with_the_part(formula: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse(formula)


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="rate"):
        evaluate(parse("rate * 2"), {})


def test_only_the_branch_counts_that_is_taken() -> None:
    tree = parse("2 * (a if a > 0 else b)")
    assert list(names_in(tree)) == ["a", "a", "b"]
    assert list(names_in(branch_taken(tree, {"a": 1.0, "b": 9.0}))) == ["a", "a"]
    assert list(names_in(branch_taken(tree, {"a": 0.0, "b": 9.0}))) == ["a", "b"]
