"""`cardwatch estimate`: text and JSON, and the sizes that the pages publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import SUITES
from cardwatch.errors import Misconfigured
from cardwatch.estimator.measurements import MEASUREMENTS
from cardwatch.estimator.quantities import Unit
from cardwatch.estimator.stream_design import INPUTS
from cli.estimate import estimate
from cli.estimate.page_data import estimator_data
from cli.estimate.sources import estimator
from cli.estimate.text import figure_text
from infra.aws.cost.prices import costs_page, inputs_of
from infra.aws.markdown_tables import rows_of

ROOT = Path(__file__).resolve().parents[4]


def run(*arguments: str) -> str:
    return CliRunner().invoke(estimate, arguments, catch_exceptions=False).output


def values(*arguments: str) -> dict[str, float]:
    document: dict[str, Any] = json.loads(run("--json", *arguments))
    return {step["name"]: step["value"] for section in document["sections"] for step in section["steps"]}


def cells(page: str, first_column: str, row: str) -> list[float]:
    """The numbers of a row of a page's table, without the limiting quantity in parentheses."""
    rows = rows_of((ROOT / "docs" / page).read_text(encoding="utf-8"), first_column)
    [found] = [each for each in rows if each[0] == row]
    return [float(cell.partition(" ")[0].replace(",", "")) for cell in found[1:]]


@pytest.mark.parametrize("rate", [1_000, 50_000, 1_000_000])
def test_the_sizes_of_the_stream_are_those_of_the_page_of_benchmarks(rate: int) -> None:
    found = values("--tps", str(rate))
    names = ("workers", "partitions", "scoring_workers", "brokers_by_time")
    published = cells("benchmarks.md", "transactions/s", f"{rate:,}")
    assert [found[name] for name in names] == published[:4]
    assert [round(found["states_written"] / 1e6), round(found["log_per_day"] / 1e9)] == published[4:]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("shards of transactions", "transactions_shards"),
        ("shards of decisions", "decisions_shards"),
        ("concurrent Lambda executions", "functions"),
        ("DynamoDB write units per second", "write_units"),
        ("DynamoDB read units per second", "read_units"),
        ("instances, ml.c5.xlarge", "instances"),
        ("cards", "cards"),
        ("$ per month", "aws_dollars"),
        ("with reserved DynamoDB capacity", "aws_reserved"),
    ],
)
def test_the_sizes_and_the_bill_on_aws_are_those_of_the_page_of_costs(row: str, name: str) -> None:
    found = [values("--tps", rate)[name] for rate in ("1000", "50000", "1000000")]
    assert [round(value) for value in found] == cells("aws-costs.md", "", row)


def test_defaults_are_those_of_the_page_of_costs() -> None:
    inputs, defaults = inputs_of(costs_page()), {each.name: each.default for each in INPUTS}
    assert defaults["transaction_bytes"] == inputs.transaction_bytes
    assert defaults["archive_days"] == inputs.kept_days


def test_the_text_shows_each_step_with_its_value_basis_and_formula_and_the_sources() -> None:
    lines = [" ".join(line.split()) for line in run("--tps", "40000", "--cards", "100000000").splitlines()]
    assert "states of all cards 200 GB code cards * state_bytes" in lines
    assert "workers 3 assumed max(1, ceil(worker_cores))" in lines
    assert "holds: Without one zone the others carry its load." in lines
    assert any(line.endswith("measured stream_worker_processor, `make bench SUITES=stream`") for line in lines)


def test_an_assumption_of_ones_own_is_given() -> None:
    document = json.loads(run("--json", "--tps", "50000", "--assume", "utilization=1"))
    [workers] = [step for each in document["sections"] for step in each["steps"] if step["name"] == "worker_cores"]
    worker_us = next(each["value"] for each in document["known"] if each["name"] == "worker_us")
    assert workers["value"] == 50_000 * worker_us / 1e6
    assert workers["basis"] == "measured"


def test_prices_of_another_region_cost_less() -> None:
    assert values("--region", "us-east-1")["dollars"] < values("--region", "eu-central-1")["dollars"]
    with pytest.raises(Misconfigured, match="no prices for mars-1"):
        run("--region", "mars-1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tps", "0"), "0.0 is not in the range 1<=x<=10000000"),
        (("--availability", "nan"), "nan is no finite number"),
        (("--assume", "utilization"), "'utilization' is not NAME=VALUE with a number"),
    ],
)
def test_impossible_arguments_are_refused(arguments: tuple[str, ...], message: str) -> None:
    assert message in run(*arguments)


def test_measured_figures_name_suites_that_there_are() -> None:
    assert {each.suite for each in MEASUREMENTS} <= set(SUITES)


def test_the_page_gets_every_figure_that_a_formula_names() -> None:
    data = estimator_data(estimator())
    names = {each["name"] for each in (*data["inputs"], *data["known"])}
    for section in data["sections"]:
        for step in section["steps"]:
            assert set(strings(step["tree"])) <= names, step["name"]
            names.add(step["name"])


def strings(tree: Any) -> list[str]:
    """The names of a formula's tree."""
    if isinstance(tree, list):
        return [name for part in tree[1:] for name in strings(part)]
    return [tree] if isinstance(tree, str) else []


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (999.6e9, Unit.BYTES, "1 TB"),
        (0.0, Unit.BYTES, "0 bytes"),
        (1314.0, Unit.SECONDS, "21.9 min"),
        (6.06, Unit.SECONDS, "6.06 s"),
        (99.95, Unit.PERCENT, "99.95 %"),
        (0.00065, Unit.DOLLARS, "$0.00065"),
        (0.311, Unit.DOLLARS, "$0.31"),
        (32_686.4, Unit.DOLLARS, "$32,686"),
        (2.837, Unit.CORES, "2.84 cores"),
        (42.7, Unit.MICROSECONDS, "42.7 us"),
    ],
)
def test_figures_are_shown_with_their_unit(value: float, unit: Unit, text: str) -> None:
    assert figure_text(value, unit) == text
