"""Metrics of flow runs. They come from the Prefect server, so they are correct after a restart of the runner."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from adapters.prefect import FlowRun

STATES = ("scheduled", "pending", "running", "completed", "failed", "crashed", "cancelled")


class FlowRunMetrics:
    """Create one per process and registry, because a registry refuses a metric name that it has."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._runs = Gauge(
            "cardwatch_pipelines_runs",
            "Runs that the Prefect server knows, of the newest 200, by type of state.",
            ["flow", "state"],
            registry=registry,
        )
        self._seconds = Gauge(
            "cardwatch_pipelines_run_seconds", "How long the newest ended run took.", ["flow"], registry=registry
        )

    def update(self, flow: str, runs: Sequence[FlowRun]) -> None:
        """Set the metrics of a flow from its runs, newest first."""
        tally = Tally(run.state.kind.lower() for run in runs)
        for state in STATES:
            self._runs.labels(flow, state).set(tally[state])
        ended = [run.seconds for run in runs if run.state.ended]
        if ended:
            self._seconds.labels(flow).set(ended[0])
