"""What the scoring service counts; it appears on BentoML's `/metrics`, added up over all workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.scoring.question import Answer

BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds: a score takes a tenth of a millisecond."""


class Metrics:
    """One per process: Prometheus keeps a registry of names. Children are looked up once: that costs microseconds."""

    def __init__(self) -> None:
        self._requests = Counter("cardwatch_scoring_requests", "Requests answered.", ["path", "status"])
        self._seconds = Histogram(
            "cardwatch_scoring_seconds", "Time from request to answer.", ["path"], buckets=BUCKETS
        )
        self._rows = Counter("cardwatch_scoring_rows", "Feature rows scored by `/invocations`.")
        self._answers = Counter("cardwatch_scoring_answers", "Questions answered.", ["action", "degraded"])
        self._shed = Counter("cardwatch_scoring_shed", "Requests refused before any work.", ["why"])
        self._version = Gauge(
            "cardwatch_scoring_model_version",
            "The version served; of several workers' the oldest.",
            ["role"],
            multiprocess_mode="livemin",
        )
        self._requests_of: dict[tuple[str, int], Counter] = {}
        self._seconds_of: dict[str, Histogram] = {}
        self._answers_of: dict[tuple[object, bool], Counter] = {}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        requests = self._requests_of.get((path, status))
        if requests is None:
            requests = self._requests_of[path, status] = self._requests.labels(path, str(status))
        requests.inc()
        histogram = self._seconds_of.get(path)
        if histogram is None:
            histogram = self._seconds_of[path] = self._seconds.labels(path)
        histogram.observe(seconds)

    def scored(self, rows: int) -> None:
        """Count the rows of a batch."""
        self._rows.inc(rows)

    def decided(self, answers: Iterable[Answer]) -> None:
        """Count what was answered to questions."""
        for answer in answers:
            key = (answer.action, answer.degraded)
            counter = self._answers_of.get(key)
            if counter is None:
                action = answer.action.value if answer.action else "none"
                counter = self._answers_of[key] = self._answers.labels(action, str(answer.degraded).lower())
            counter.inc()

    def shed(self, why: str) -> None:
        """Count a request that was refused to protect the others."""
        self._shed.labels(why).inc()

    def swapped(self, role: str, version: str) -> None:
        """Note which version serves in this role now."""
        if version.isdecimal():
            self._version.labels(role).set(int(version))
