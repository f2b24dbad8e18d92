"""Figures that follow from the design: constants of the code, and capacity and cost at a rate of transactions.

Constants of services are read from their source text, because the command imports no service.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from adapters.kafka.limits import SESSION_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS
from cardwatch.drift.policy import DriftPolicy
from cardwatch.estimator.quantities import Unit, steps_of
from cardwatch.estimator.stream_design import (
    BROKER_BYTES,
    CORES_PER_BROKER,
    MACHINE_BYTES,
    MACHINE_CORES,
    REPLICAS,
    UTILIZATION,
)
from cardwatch.features.definitions import FAMILIES, FEATURES
from cardwatch.features.reference_table import WINDOW_DAYS
from cardwatch.features.state import RECENT_IDS, STATE, TILES
from cardwatch.promotion.policy import PromotionPolicy
from cli.estimate.sources import estimator
from cli.figures import SourcedFigure
from cli.tour.reading import ROOT, TourError

RATES: Final = (1_000, 50_000, 1_000_000, 5_000_000)
"""Transactions per second at which capacity and cost are computed."""
_STREAM: Final = "cardwatch/estimator/stream_design.py"
_FORMULAS: Final = {
    "kafka": f"{_STREAM}, docs/aws-costs.md",
    "aws": "cardwatch/estimator/aws_design.py, docs/aws-costs.md",
}
_KAFKA: Final = {
    "workers": "workers", "partitions": "partitions", "scoring_workers": "scoring_workers",
    "brokers_by_time": "brokers_by_time", "brokers_by_bytes": "brokers_by_bytes", "brokers": "brokers",
    "cores": "cores", "worker_cores_exact": "worker_cores", "machines": "machines", "core_dollars": "core_dollars",
    "states_per_second": "states_written", "log_per_day": "log_per_day", "log_per_second": "log_per_second",
    "archive_per_day": "archive_per_day", "archive_dollars": "archive_dollars", "disk_dollars": "disk_dollars",
    "zone_dollars": "zone_dollars", "dollars": "dollars", "per_million": "dollars_per_million",
    "transactions_per_day": "transactions_per_day", "cards": "cards", "states": "states",
    "states_per_worker": "states_per_worker", "rate_per_partition": "partition_rate",
}  # fmt: skip
"""Figures of the design on Kafka, and the steps of the estimate that they are."""
_AWS: Final = {
    "shards": "transactions_shards", "decision_shards": "decisions_shards", "functions": "functions",
    "writes": "write_units", "reads": "read_units", "instances": "instances", "dollars": "aws_dollars",
    "reserved": "aws_reserved", "per_million": "aws_per_million",
}  # fmt: skip
"""The same of the design on AWS."""
_PRICES: Final = {
    "core_machine": "machine_price", "write_units": "dynamodb_write", "reserved_write": "dynamodb_write_hour",
}  # fmt: skip
_IN_SOURCES: Final = {
    "scoring_deadline": ("services/stream/__main__.py", "SCORING_DEADLINE_SECONDS", "s"),
    "model_poll": ("services/scoring/model/manager.py", "POLL_SECONDS", "s"),
    "max_pending": ("services/scoring/http/admission.py", "MAX_PENDING", ""),
    "max_batch": ("services/stream/loop.py", "MAX_RECORDS", ""),
}


def constant_figures() -> Iterator[tuple[str, SourcedFigure]]:
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
        "utilization": (UTILIZATION, "", _STREAM),
        "replicas": (REPLICAS, "", _STREAM),
        "broker_bytes": (BROKER_BYTES, "bytes", _STREAM),
        "cores_per_broker": (CORES_PER_BROKER, "", _STREAM),
        "machine_cores": (MACHINE_CORES, "", _STREAM),
        "machine_memory": (MACHINE_BYTES, "bytes", _STREAM),
    }
    for name, (value, unit, source) in values.items():
        yield f"code.{name}", SourcedFigure(value, unit, source)
    for family in FAMILIES:
        number = sum(feature.family == family for feature in FEATURES)
        yield f"code.family.{family.replace(' ', '_')}", SourcedFigure(number, "", "cardwatch/features/definitions.py")
    for name, (file, constant, unit) in _IN_SOURCES.items():
        yield f"code.{name}", SourcedFigure(_constant(file, constant), unit, file)


def capacity_figures() -> Iterator[tuple[str, SourcedFigure]]:
    """Yield `kafka.RATE.NAME` and `aws.RATE.NAME`, what either design needs at each of `RATES`, and `price.NAME`."""
    known = estimator()
    values = {each.name: each.value for each in known.known}
    for name in ("rows_a_second_and_cpu", "batch_ms", "headroom", "transactions_a_card_and_day", "endpoint_share"):
        yield f"input.{name}", SourcedFigure(values[name], "", "docs/aws-costs.md")
    for name, price in _PRICES.items():
        yield f"price.{name}", SourcedFigure(values[price], "$", "docs/aws-costs.md")
    units = {each.name: each.unit for each in steps_of(known.sections)}
    for rate in RATES:
        found = known.estimate({"tps": rate}).values
        for prefix, names in (("kafka", _KAFKA), ("aws", _AWS)):
            for name, step in names.items():
                yield f"{prefix}.{rate}.{name}", _computed(found[step], units[step], _FORMULAS[prefix])
        table_share = found["table_dollars"] / found["aws_dollars"]
        yield f"aws.{rate}.table_share", SourcedFigure(table_share, "", _FORMULAS["aws"])


def _computed(value: float, unit: Unit, source: str) -> SourcedFigure:
    shown_unit = {Unit.BYTES: "bytes", Unit.BYTES_PER_SECOND: "bytes", Unit.DOLLARS: "$"}.get(unit, "")
    is_count = unit in {Unit.COUNT, Unit.CORES, Unit.PER_SECOND} and value == round(value)
    return SourcedFigure(round(value) if is_count else value, shown_unit, source)


def _constant(file: str, name: str) -> float:
    """Return the literal that a module assigns to a name."""
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == name:
            value: float = ast.literal_eval(node.value)
            return value
    raise TourError(f"{file}: it assigns no constant to {name}")
