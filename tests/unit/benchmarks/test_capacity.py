"""Cores, partitions and storage for a rate, computed by hand from round costs."""

from __future__ import annotations

from benchmarks.capacity import Capacity, MeasuredCosts, capacity, capacity_table
from benchmarks.harness import Metric

COSTS = MeasuredCosts(worker_us=50.0, scoring_us=10.0, broker_us=8.0, log_bytes=1_500.0)


def test_a_large_rate_needs_cores_in_proportion() -> None:
    # Workers: 50,000 * 50 us = 2.5 cores of work, 4.17 at 60 %. Scoring: 0.5, 0.83. Brokers: 50,000 * 24 us = 1.2,
    # 2 cores, which three brokers have. States: 50,000 * 2,004 bytes. Log: 50,000 * 86,400 s * 1,500 bytes * 3.
    assert capacity(50_000, COSTS) == Capacity(
        workers=5,
        partitions=10,
        scoring_workers=1,
        brokers=3,
        store_mb_per_second=100.2,
        log_gb_per_day=19_440.0,
    )


def test_a_small_rate_needs_at_least_one_of_each_and_three_brokers() -> None:
    needed = capacity(1, COSTS)
    assert (needed.workers, needed.partitions, needed.scoring_workers, needed.brokers) == (1, 2, 1, 3)


def test_brokers_are_added_when_their_cores_are_used_up() -> None:
    # 1,000,000 * 24 us = 24 cores of work, 40 at 60 %: five brokers of eight cores.
    assert capacity(1_000_000, COSTS).brokers == 5


def test_costs_are_taken_from_the_results_if_the_stream_was_measured() -> None:
    metrics = {
        f"stream_{name}": Metric(value=value, unit="us", how="")
        for name, value in {
            "worker_processor": 50.0,
            "scoring_processor": 10.0,
            "broker_processor": 8.0,
            "log_bytes": 1_500.0,
        }.items()
    }
    assert MeasuredCosts.of(metrics) == COSTS
    assert MeasuredCosts.of({}) is None
    assert "| 50,000 | 5 | 10 | 1 | 3 | 100 | 19,440 |" in capacity_table(COSTS)
