"""How many parts a rate of transactions needs, from the measured processor time per decision.

The formulas are those of the estimator, `cardwatch.estimator.stream_design`; brokers are those by processor time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from benchmarks.harness import Metric
from cardwatch.estimator.quantities import computed
from cardwatch.estimator.stream_design import ASSUMPTIONS, CODE, STREAM_STEPS
from infra.aws.markdown_tables import table

RATES: Final = (1_000, 50_000, 1_000_000)
"""Transactions per second that the page shows."""
_WANTED: Final = ("workers", "partitions", "scoring_workers", "brokers_by_time", "states_written", "log_per_day")

HEAD: Final = (
    "transactions/s", "workers", "partitions", "scoring workers", "brokers", "states written, MB/s", "log per day, GB"
)  # fmt: skip


class MeasuredCosts(Struct, frozen=True, kw_only=True):
    """Processor time per decision in microseconds, and bytes of a transaction with its decision in the log."""

    worker_us: float
    scoring_us: float
    broker_us: float
    log_bytes: float

    @classmethod
    def of(cls, metrics: Mapping[str, Metric]) -> MeasuredCosts | None:
        """Return the costs in a file of results, None if the stream was not measured."""
        names = ("stream_worker_processor", "stream_scoring_processor", "stream_broker_processor", "stream_log_bytes")
        if not all(name in metrics for name in names):
            return None
        worker, scoring, broker, log = (metrics[name].value for name in names)
        return cls(worker_us=worker, scoring_us=scoring, broker_us=broker, log_bytes=log)


class Capacity(Struct, frozen=True, kw_only=True):
    """The parts that a rate of transactions needs.

    `store_mb_per_second`: megabytes of states; `log_gb_per_day`: gigabytes with all replicas.
    """

    workers: int
    partitions: int
    scoring_workers: int
    brokers: int
    store_mb_per_second: float
    log_gb_per_day: float


def capacity(rate: float, costs: MeasuredCosts) -> Capacity:
    """Return what `rate` transactions per second need."""
    given = {
        **{each.name: each.value for each in (*ASSUMPTIONS, *CODE)},
        "tps": rate,
        "peak_tps": rate,
        "worker_us": costs.worker_us,
        "scoring_us": costs.scoring_us,
        "broker_us": costs.broker_us,
        "log_bytes": costs.log_bytes,
    }
    needed = computed(STREAM_STEPS, given, _WANTED)
    return Capacity(
        workers=int(needed["workers"]),
        partitions=int(needed["partitions"]),
        scoring_workers=int(needed["scoring_workers"]),
        brokers=int(needed["brokers_by_time"]),
        store_mb_per_second=needed["states_written"] / 1e6,
        log_gb_per_day=needed["log_per_day"] / 1e9,
    )


def capacity_table(costs: MeasuredCosts) -> str:
    """Return the table of what each of `RATES` needs, in Markdown."""
    rows = []
    for rate in RATES:
        needed = capacity(rate, costs)
        rows.append(
            [
                f"{rate:,}",
                f"{needed.workers:,}",
                f"{needed.partitions:,}",
                f"{needed.scoring_workers:,}",
                f"{needed.brokers:,}",
                f"{needed.store_mb_per_second:,.0f}",
                f"{needed.log_gb_per_day:,.0f}",
            ]
        )
    return table(HEAD, rows)
