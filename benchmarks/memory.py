"""Growth of a worker's memory over a million requests after the warm-up."""

from __future__ import annotations

from typing import Final

import psutil

from benchmarks.harness import Metric, Metrics
from benchmarks.serving.fixture import ServingFixture, serving_fixture
from benchmarks.serving.rounds import measure_load
from benchmarks.serving.servers import Server, running_servers, scoring

WARM_UP: Final = 100_000
REQUESTS: Final = 1_000_000
CONNECTIONS: Final = 16
_PART_SECONDS: Final = 10.0


def measure() -> Metrics:
    """Return the unique memory of the worker (USS) before and after the requests."""
    data = serving_fixture()
    with running_servers(data.settings, scoring) as (ours,):
        _send(data, ours, WARM_UP)
        before_mb = _unique_mb(ours)
        _send(data, ours, REQUESTS)
        after_mb = _unique_mb(ours)
    return {
        "scoring_memory": Metric(
            value=after_mb,
            unit="MB",
            baseline=before_mb,
            ratio=after_mb / before_mb,
            how=f"unique memory of the worker after {REQUESTS:,} more requests, over that before them",
            goal="at most 1.02 times",
        )
    }


def _send(data: ServingFixture, server: Server, requests: int) -> None:
    """Send at least `requests` requests."""
    answered = 0
    while answered < requests:
        part = measure_load(
            server, "/v1/score", data.transactions, connections=CONNECTIONS, headers=data.headers, seconds=_PART_SECONDS
        )
        answered += part.answers
        print(f"  {answered:,} of {requests:,} requests: {_unique_mb(server):.1f} MB", flush=True)


def _unique_mb(server: Server) -> float:
    return psutil.Process(server.pid).memory_full_info().uss / 1e6
