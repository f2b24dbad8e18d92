"""What the scoring service counts; it appears on BentoML's `/metrics`."""

from __future__ import annotations

from prometheus_client import Counter, Histogram


class Metrics:
    """One per process: Prometheus keeps a registry of names."""

    def __init__(self) -> None:
        self._requests = Counter("cardwatch_scoring_requests", "Requests answered.", ["path", "status"])
        self._seconds = Histogram("cardwatch_scoring_seconds", "Time from request to answer.", ["path"])
        self._rows = Counter("cardwatch_scoring_rows", "Feature rows scored by `/invocations`.")

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def scored(self, rows: int) -> None:
        """Count the rows of a batch."""
        self._rows.inc(rows)
