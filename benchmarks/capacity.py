"""How many parts a rate of transactions needs, from the measured processor time per decision.

The formulas, for a rate of r transactions a second and u microseconds of processor time per decision:

    cores = r * u / 1e6 / UTILIZATION

- workers and scoring workers: one core each, because Python code runs on one;
- partitions: two per worker, so that the partitions of a lost worker spread over the others;
- brokers: the leader's time once and a follower's for each further replica, which is at most the same; three at least;
- store: one state is written per decision, because a batch seldom holds a card twice;
- log: transactions and decisions of a day, with all replicas and without compression.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final

from msgspec import Struct

from benchmarks.harness import Metric
from cardwatch.features.state import STATE
from infra.aws.markdown_tables import table

RATES: Final = (1_000, 50_000, 1_000_000)
"""Transactions per second that the page shows."""
UTILIZATION: Final = 0.6
"""Share of a core that is planned with; the rest is for peaks, and for the backlog after a failure."""
REPLICAS: Final = 3
MIN_BROKERS: Final = 3
CORES_PER_BROKER: Final = 8
PARTITIONS_PER_WORKER: Final = 2
_DAY_SECONDS: Final = 86_400

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
    """Return what `rate` transactions per second need; see the formulas of the module."""
    workers = _cores(rate, costs.worker_us)
    return Capacity(
        workers=workers,
        partitions=PARTITIONS_PER_WORKER * workers,
        scoring_workers=_cores(rate, costs.scoring_us),
        brokers=max(MIN_BROKERS, ceil(_cores(rate, costs.broker_us * REPLICAS) / CORES_PER_BROKER)),
        store_mb_per_second=rate * STATE.itemsize / 1e6,
        log_gb_per_day=rate * _DAY_SECONDS * costs.log_bytes * REPLICAS / 1e9,
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


def _cores(rate: float, microseconds: float) -> int:
    return max(1, ceil(rate * microseconds / 1e6 / UTILIZATION))
