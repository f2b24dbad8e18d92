"""Whether the worker's memory grows with the requests that it answers: a million of them, after it has warmed up."""

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
    """What only this process holds (USS), before and after."""
    made = serving_fixture()
    with running_servers(made.settings, scoring) as (ours,):
        _answer(made, ours, WARM_UP)
        before_mb = _unique_mb(ours)
        _answer(made, ours, REQUESTS)
        after_mb = _unique_mb(ours)
    return {
        "scoring_memory": Metric(
            value=after_mb - before_mb,
            unit="MB grown",
            baseline=before_mb,
            ratio=after_mb / before_mb,
            how=f"unique memory of the worker after {REQUESTS:,} more requests, over that after {WARM_UP:,}",
            goal="at most 1.02 times",
        )
    }


def _answer(made: ServingFixture, server: Server, requests: int) -> None:
    """At least so many."""
    answered = 0
    while answered < requests:
        part = measure_load(
            server,
            "/v1/score",
            made.questions,
            connections=CONNECTIONS,
            headers=made.headers,
            seconds=_PART_SECONDS,
        )
        answered += part.answers
        print(f"  {answered:,} of {requests:,} requests: {_unique_mb(server):.1f} MB", flush=True)


def _unique_mb(server: Server) -> float:
    return psutil.Process(server.pid).memory_full_info().uss / 1e6
