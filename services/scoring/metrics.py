"""Prometheus metrics of the scoring service. BentoML's `/metrics` adds up the values of all workers.

Changing a Prometheus value that processes share takes microseconds, and a request changes seven. Therefore requests
are counted in plain integers, which are added to the shared values four times a second and before `/metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import Counter, Gauge, Histogram

from cardwatch.decision.records import Preview
from cardwatch.events import Action

BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the latency histogram in seconds. A score takes a tenth of a millisecond."""
FLUSH_SECONDS: Final = 0.25


class ScoringMetrics:
    """The metrics of this process. Create one instance only, because Prometheus rejects a second metric of one name.

    All methods but `set_version` may be called by the event loop's thread only.
    """

    def __init__(self) -> None:
        self._requests = Counter("cardwatch_scoring_requests", "Requests answered.", ["path", "status"])
        self._seconds = Histogram(
            "cardwatch_scoring_seconds", "Time from request to answer.", ["path"], buckets=BUCKETS
        )
        self._rows = Counter("cardwatch_scoring_rows", "Feature rows scored by `/invocations`.")
        self._answers = Counter("cardwatch_scoring_answers", "Previews answered.", ["action", "degraded"])
        self._shed = Counter("cardwatch_scoring_shed", "Requests rejected before any work.", ["why"])
        self._version = Gauge(
            "cardwatch_scoring_model_version",
            "The version that serves in this role; the lowest one of all workers.",
            ["role"],
            multiprocess_mode="livemin",
        )
        self._new_responses: Tally[tuple[str, int, int]] = Tally()  # by path, status and bucket of the latency
        self._new_answers: Tally[tuple[Action | None, bool]] = Tally()
        self._new_seconds: defaultdict[str, float] = defaultdict(float)

    def count_response(self, path: str, status: int, seconds: float) -> None:
        """Count a response and its latency."""
        self._new_responses[path, status, bisect_left(BUCKETS, seconds)] += 1
        self._new_seconds[path] += seconds

    def count_rows(self, rows: int) -> None:
        """Count scored feature rows."""
        self._rows.inc(rows)

    def count_previews(self, previews: Iterable[Preview]) -> None:
        """Count previews by action."""
        for preview in previews:
            self._new_answers[preview.action, preview.degraded] += 1

    def count_shed(self, reason: str) -> None:
        """Count a request that was rejected to protect others."""
        self._shed.labels(reason).inc()

    def set_version(self, role: str, version: str) -> None:
        """Set the version that serves in this role."""
        if version.isdecimal():
            self._version.labels(role).set(int(version))

    def flush(self) -> None:
        """Add the counts to the shared values."""
        for (path, status, bucket), count in self._new_responses.items():
            self._requests.labels(path, str(status)).inc(count)
            # `observe` adds one value at a time; many can be added only through private attributes.
            self._seconds.labels(path)._buckets[bucket].inc(count)
        for path, seconds in self._new_seconds.items():
            self._seconds.labels(path)._sum.inc(seconds)
        for (action, degraded), count in self._new_answers.items():
            self._answers.labels(action.value if action else "none", str(degraded).lower()).inc(count)
        self._new_responses.clear()
        self._new_answers.clear()
        self._new_seconds.clear()


def remove_dead_worker_gauges(folder: Path) -> None:
    """Delete the gauges of dead workers from `folder`, the multiprocess folder of prometheus_client.

    Otherwise the minimum over all workers would include the model version of a dead one. Counters of dead workers stay.
    """
    for file in folder.glob("gauge_live*.db"):
        if not psutil.pid_exists(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)
