"""Figures that follow from the design: constants of the code, and capacity and cost at a rate of transactions.

Constants of services are read from their source text, because the command imports no service.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from math import ceil
from typing import Any, Final

import msgspec

from adapters.kafka.limits import SESSION_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS
from benchmarks.capacity import CORES_PER_BROKER, REPLICAS, UTILIZATION, MeasuredCosts, capacity
from benchmarks.document import RESULTS
from benchmarks.harness import Metric
from cardwatch.drift.policy import DriftPolicy
from cardwatch.features.definitions import FAMILIES, FEATURES
from cardwatch.features.reference_table import WINDOW_DAYS
from cardwatch.features.state import RECENT_IDS, STATE, TILES
from cardwatch.promotion.policy import PromotionPolicy
from cli.tour.figures import TourFigure
from cli.tour.reading import ROOT, TourError
from infra.aws.cost.document import ESTIMATED, estimate
from infra.aws.cost.prices import Inputs, Prices, costs_page, inputs_of, prices_in
from infra.aws.cost.sizing import cards, cpus_of, provisioned, size_of
from infra.aws.environments import Environment

RATES: Final = (1_000, 50_000, 1_000_000, 5_000_000)
"""Transactions per second at which capacity and cost are computed."""
MACHINE: Final = "ml.c5.4xlarge"
"""The instance type whose price stands for cores: the table of prices has none of EC2."""
BROKER_BYTES: Final = 200e6
"""Bytes per second that a broker writes, replicas included. An assumption: no broker was driven to its limit here."""
_DAY_SECONDS: Final = 86_400
_MICROSECONDS: Final = 1e6
_IN_SOURCES: Final = {
    "scoring_deadline": ("services/stream/__main__.py", "SCORING_DEADLINE_SECONDS", "s"),
    "model_poll": ("services/scoring/model/manager.py", "POLL_SECONDS", "s"),
    "max_pending": ("services/scoring/http/admission.py", "MAX_PENDING", ""),
    "max_batch": ("services/stream/loop.py", "MAX_RECORDS", ""),
}


def constant_figures() -> Iterator[tuple[str, TourFigure]]:
    """Yield `code.NAME` for constants of the code and defaults of the policies."""
    drift, promotion = DriftPolicy(), PromotionPolicy()
    values: dict[str, tuple[float, str, str]] = {
        "features": (len(FEATURES), "", "cardwatch/features/definitions.py"),
        "state": (STATE.itemsize, "bytes", "cardwatch/features/state.py"),
        "recent_ids": (RECENT_IDS, "", "cardwatch/features/state.py"),
        "tiles": (TILES, "", "cardwatch/features/state.py"),
        "table_days": (WINDOW_DAYS, "", "cardwatch/features/reference_table.py"),
        "session_timeout": (SESSION_TIMEOUT_MS / 1_000, "s", "adapters/kafka/limits.py"),
        "transaction_timeout": (TRANSACTION_TIMEOUT_MS / 1_000, "s", "adapters/kafka/limits.py"),
        "maturity_days": (drift.maturity_days, "", "cardwatch/drift/policy.py"),
        "drift_share": (drift.drift_share, "", "cardwatch/drift/policy.py"),
        "judge_days": (drift.judge_days, "", "cardwatch/drift/policy.py"),
        "new_training_days": (drift.new_training_days, "", "cardwatch/drift/policy.py"),
        "loss_days": (drift.judge_days + drift.new_training_days, "", "cardwatch/drift/policy.py"),
        "cooldown_days": (drift.cooldown_days_after_promotion, "", "cardwatch/drift/policy.py"),
        "missed_standard_errors": (drift.without_drift.missed_standard_errors, "", "cardwatch/drift/policy.py"),
        "minimum_gain": (promotion.minimum_gain, "", "cardwatch/promotion/policy.py"),
        "error_rate": (promotion.error_rate_per_trial, "", "cardwatch/promotion/policy.py"),
        "slice_frauds": (promotion.slice_minimum_frauds, "", "cardwatch/promotion/policy.py"),
        "utilization": (UTILIZATION, "", "benchmarks/capacity.py"),
        "replicas": (REPLICAS, "", "benchmarks/capacity.py"),
        "broker_bytes": (BROKER_BYTES, "bytes", "cli/tour/designed.py"),
        "cores_per_broker": (CORES_PER_BROKER, "", "benchmarks/capacity.py"),
    }
    for name, (value, unit, source) in values.items():
        yield f"code.{name}", TourFigure(value, unit, source)
    for family in FAMILIES:
        number = sum(feature.family == family for feature in FEATURES)
        yield f"code.family.{family.replace(' ', '_')}", TourFigure(number, "", "cardwatch/features/definitions.py")
    for name, (file, constant, unit) in _IN_SOURCES.items():
        yield f"code.{name}", TourFigure(_constant(file, constant), unit, file)


def capacity_figures() -> Iterator[tuple[str, TourFigure]]:
    """Yield `kafka.RATE.NAME` and `aws.RATE.NAME`, what either design needs at each of `RATES`, and `price.NAME`."""
    metrics = msgspec.convert(json.loads(RESULTS.read_text(encoding="utf-8"))["metrics"], dict[str, Metric])
    costs = MeasuredCosts.of(metrics)
    if costs is None:
        raise TourError(f"{RESULTS.name}: the stream was not measured, so there is no capacity: `make bench`")
    page = costs_page()
    environment = Environment(ESTIMATED)
    prices, inputs = prices_in(environment.region, page), inputs_of(page)
    for name in ("rows_a_second_and_cpu", "batch_ms", "headroom", "transactions_a_card_and_day", "endpoint_share"):
        yield f"input.{name}", TourFigure(getattr(inputs, name), "", "docs/aws-costs.md")
    yield "price.core_machine", TourFigure(prices.of(MACHINE), "$", "docs/aws-costs.md")
    yield "price.write_units", TourFigure(prices.of("dynamodb_write"), "$", "docs/aws-costs.md")
    yield "price.reserved_write", TourFigure(prices.of("dynamodb_write_hour"), "$", "docs/aws-costs.md")
    size = provisioned(size_of(environment.variables))
    for rate in RATES:
        for name, value, unit in _on_kafka(rate, costs, prices, inputs):
            yield f"kafka.{rate}.{name}", TourFigure(value, unit, "benchmarks/capacity.py, docs/aws-costs.md")
        needed = estimate(rate, size, prices, inputs)
        month_millions = rate * inputs.hours_a_month * 3600 / 1e6
        for name, value, unit in (
            ("shards", needed.size.transactions_shards, ""), ("decision_shards", needed.size.decisions_shards, ""),
            ("functions", needed.size.concurrent_invocations, ""), ("writes", needed.writes, ""),
            ("reads", needed.reads, ""), ("instances", needed.size.instances, ""), ("dollars", needed.dollars, "$"),
            ("reserved", needed.dollars_reserved, "$"), ("per_million", needed.dollars / month_millions, "$"),
            ("table_share", 1 - _without_table(needed.dollars, needed.writes, needed.reads, prices, inputs), ""),
        ):  # fmt: skip
            yield f"aws.{rate}.{name}", TourFigure(value, unit, "infra/aws/cost, docs/aws-costs.md")


def _on_kafka(rate: int, costs: MeasuredCosts, prices: Prices, inputs: Inputs) -> Iterator[tuple[str, Any, str]]:
    needed = capacity(rate, costs)
    by_bytes = ceil(rate * costs.log_bytes * REPLICAS / BROKER_BYTES)
    brokers = max(needed.brokers, by_bytes)
    cores = needed.workers + needed.scoring_workers + brokers * CORES_PER_BROKER
    machines = ceil(cores / cpus_of(MACHINE))
    dollars = machines * prices.of(MACHINE) * inputs.hours_a_month
    archive_dollars = needed.log_gb_per_day / REPLICAS * inputs.kept_days * prices.of("s3_kept")
    month_millions = rate * inputs.hours_a_month * 3600 / 1e6
    yield from (
        ("workers", needed.workers, ""), ("partitions", needed.partitions, ""),
        ("scoring_workers", needed.scoring_workers, ""), ("brokers_by_time", needed.brokers, ""),
        ("brokers_by_bytes", by_bytes, ""), ("brokers", brokers, ""), ("cores", cores, ""),
        ("worker_cores_exact", rate * costs.worker_us / _MICROSECONDS / UTILIZATION, ""),
        ("machines", machines, ""), ("core_dollars", dollars, "$"),
        ("states_per_second", needed.store_mb_per_second * 1e6, "bytes"),
        ("log_per_day", needed.log_gb_per_day * 1e9, "bytes"),
        ("log_per_second", rate * costs.log_bytes, "bytes"),
        ("archive_per_day", needed.log_gb_per_day * 1e9 / REPLICAS, "bytes"),
        ("archive_dollars", archive_dollars, "$"),
        ("per_million", (dollars + archive_dollars) / month_millions, "$"),
        ("transactions_per_day", rate * _DAY_SECONDS, ""),
        ("cards", round(cards(rate, inputs)), ""), ("states", cards(rate, inputs) * STATE.itemsize, "bytes"),
        ("states_per_worker", cards(rate, inputs) * STATE.itemsize / needed.workers, "bytes"),
        ("rate_per_partition", rate / needed.partitions, ""),
    )  # fmt: skip


def _without_table(dollars: float, writes: float, reads: float, prices: Prices, inputs: Inputs) -> float:
    """Return the share of a bill that is not for reading and writing the table on demand."""
    seconds = inputs.hours_a_month * 3600
    table = (writes * prices.of("dynamodb_write") + reads * prices.of("dynamodb_read")) * seconds / 1e6
    return 1 - table / dollars


def _constant(file: str, name: str) -> float:
    """Return the literal that a module assigns to a name."""
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == name:
            value: float = ast.literal_eval(node.value)
            return value
    raise TourError(f"{file}: it assigns no constant to {name}")
