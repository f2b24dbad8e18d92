"""The known figures of the estimate from their sources: benchmarks, the page of prices, Terraform's variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.document import RESULTS
from cardwatch.errors import Misconfigured
from cardwatch.estimator.estimator import Estimator
from cardwatch.estimator.measurements import measured_figures
from cardwatch.estimator.quantities import Basis, KnownFigure, Unit
from cardwatch.estimator.stream_design import ASSUMPTIONS, CODE
from infra.aws.cost.bill import dollars_given
from infra.aws.cost.document import ESTIMATED
from infra.aws.cost.prices import PAGE, Inputs, Prices, costs_page, inputs_of, prices_in
from infra.aws.cost.sizing import Size, provisioned, quantities_given, size_of
from infra.aws.environments import Environment
from infra.aws.markdown_tables import rows_of

MACHINE: Final = "ml.c5.4xlarge"
"""The instance type whose price stands for a machine: the table of prices has none of EC2."""

_BROKERS: Final = PAGE.with_name("brokers.md")
_TAKEOVER: Final = re.compile(r"([\d.]+) s until no partition was led by it")
_COSTS: Final = f"docs/{PAGE.name}"
_UNITS: Final = {unit.value: unit for unit in Unit} | {"hours": Unit.HOURS}
_OF_INPUTS: Final = {
    "transaction_bytes": "bytes of our transaction",
    "decision_bytes": "bytes of our decision",
    "kept_days": "days kept in our bill",
}
"""Inputs of the page that the estimate asks for or computes, with titles of those of this system."""
_FACTS: Final = frozenset({"hours_a_month", "row_bytes", "shard_writes_a_batch"})
"""Inputs of the page that nobody has to assume."""
_SIZE_TITLES: Final = {
    "batch": "transactions in a batch",
    "own_transactions_shards": "least shards of transactions",
    "own_decisions_shards": "least shards of decisions",
    "own_instances": "least instances",
    "variants": "variants of the endpoint",
    "instance_cpus": "CPUs of an instance",
    "stream_gb": "GB of a stream function",
    "score_gb": "GB of a score function",
    "score_kept_warm": "score functions kept warm",
    "capture_share": "share of scored rows that is kept",
    "endpoints": "interface endpoints",
    "endpoint_zones": "zones of interface endpoints",
    "keys": "keys",
    "firewall": "firewall (1 with one)",
    "daily": "daily jobs (1 with them)",
}
_PRICE_TITLES: Final = {
    "machine_price": "price of a machine",
    "firewall_month": "price of the firewall",
    "instance_price": "price of an instance",
    "job_price": "price of an instance of daily jobs",
    "training_price": "price of an instance of trainings",
}


def estimator(region: str | None = None, results: Path = RESULTS) -> Estimator:
    """Return the estimator with the prices of a region, or of that of the environment that sizes the AWS design.

    Raises `Misconfigured` if a figure is missing in its source.
    """
    environment, page = Environment(ESTIMATED), costs_page()
    prices, inputs = prices_in(region or environment.region, page), inputs_of(page)
    size = provisioned(size_of(environment.variables))
    return Estimator(
        known=(
            *ASSUMPTIONS,
            *CODE,
            *measured_figures(_metrics(results)),
            _takeover_of_a_leader(),
            *_inputs_of_the_page(inputs, page),
            *_size(size, inputs, prices),
            *_prices(size, prices, page),
        )
    )


def _metrics(results: Path) -> dict[str, float]:
    metrics = json.loads(results.read_text(encoding="utf-8"))["metrics"]
    return {name: metric["value"] for name, metric in metrics.items()}


def _takeover_of_a_leader(page: Path = _BROKERS) -> KnownFigure:
    [seconds] = _TAKEOVER.findall(" ".join(page.read_text(encoding="utf-8").split())) or [None]
    if seconds is None:
        raise Misconfigured(f"docs/{page.name} no longer says how long a broker's partitions are without a leader")
    return KnownFigure(
        name="leader_takeover",
        title="seconds until another broker leads",
        unit=Unit.SECONDS,
        value=float(seconds),
        basis=Basis.MEASURED,
        source="docs/brokers.md, `pytest -m long tests/integration/test_kafka_cluster.py`",
    )


def _inputs_of_the_page(inputs: Inputs, page: str) -> Iterator[KnownFigure]:
    for name, _, unit, source in rows_of(page, "input")[1:]:
        yield KnownFigure(
            name=f"base_{name}" if name in _OF_INPUTS else name,
            title=_OF_INPUTS.get(name, name.replace("_", " ")),
            unit=_UNITS.get(unit, Unit.COUNT),
            value=getattr(inputs, name),
            basis=_basis(name, source),
            source=f"{_plain(source)} ({_COSTS})",
        )


def _basis(name: str, source: str) -> Basis:
    if name in _FACTS:
        return Basis.CODE
    return Basis.MEASURED if source.startswith("measured") else Basis.ASSUMED


def _plain(source: str) -> str:
    """Return the source of an input without Markdown and without the word that its basis repeats."""
    text = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", source).replace("`", "")
    return re.sub(r"^(measured|assumed): ", "", text)


def _size(size: Size, inputs: Inputs, prices: Prices) -> Iterator[KnownFigure]:
    values = {**quantities_given(0.0, size, inputs), **dollars_given(size, prices)}
    for name, title in _SIZE_TITLES.items():
        yield KnownFigure(
            name=name,
            title=title,
            unit=Unit.COUNT,
            value=float(values[name]),
            basis=Basis.CODE,
            source=f"infra/terraform, environment {ESTIMATED}",
        )


def _prices(size: Size, prices: Prices, page: str) -> Iterator[KnownFigure]:
    per = {name: unit for name, unit, *_ in rows_of(page, "price")[1:]}
    chosen = {"machine_price": MACHINE, "firewall_month": "firewall", "instance_price": size.instance_type}
    chosen |= {"job_price": size.job_instance_type, "training_price": size.training_instance_type}
    names = {name: name for name in per if not name.startswith("ml.") and name != "firewall"} | chosen
    for name, price in names.items():
        yield KnownFigure(
            name=name,
            title=_PRICE_TITLES.get(name, f"price {name.replace('_', ' ')}"),
            unit=Unit.DOLLARS,
            value=prices.of(price),
            basis=Basis.ASSUMED,
            source=f"{price} per {per[price]}: list price in {prices.region}, {prices.as_of}, from memory ({_COSTS})",
        )
