"""A monitor with parts that a test brings, which never waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from prometheus_client import CollectorRegistry

from adapters.runtime.health import Health
from adapters.runtime.retry import StoppableRetry
from cardwatch.drift.policy import DriftPolicy
from cardwatch.progress import Progress
from services.monitor.ladder import MonitoredLadder
from services.monitor.metrics import MonitorMetrics
from services.monitor.model_reports import ModelReports
from services.monitor.monitor import Monitor
from services.monitor.retraining import Retrainer


def monitor_of(
    *,
    observer: Any,
    registry: Any,
    deployments: Any,
    served: Any,
    publish: Callable[[Progress], None],
    policy: DriftPolicy,
    reports: Path,
    metrics: MonitorMetrics | None = None,
    stopping: Event | None = None,
    model_reports: ModelReports | None = None,
    ladder: MonitoredLadder | None = None,
) -> Monitor:
    """Return a monitor that retries and polls without pauses until `stopping` is set."""
    retry = StoppableRetry(stopping or Event(), Health(), retry_seconds=0.0)
    return Monitor(
        observer,
        registry,
        Retrainer(deployments, registry, served, policy=policy, retry=retry, poll_seconds=0.0),
        publish,
        policy=policy,
        reports=reports,
        retry=retry,
        metrics=metrics or MonitorMetrics(CollectorRegistry()),
        model_reports=model_reports,
        ladder=ladder,
    )
