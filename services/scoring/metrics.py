"""What the scoring service counts; it appears on BentoML's `/metrics`, added up over all workers.

A Prometheus value that several processes share costs microseconds to change, and a request changes seven. So requests
are counted in plain numbers, which go over a few times a second and whenever somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import Counter, Gauge, Histogram

from cardwatch.events import Action
from services.scoring.api.preview import Preview

BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds: a score takes a tenth of a millisecond."""
FLUSH_SECONDS: Final = 0.25


class ScoringMetrics:
    """One per process, for Prometheus keeps a registry of names. All but `swapped` is for the serving thread alone."""

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
        self._new_requests: Tally[tuple[str, int]] = Tally()
        self._new_answers: Tally[tuple[Action | None, bool]] = Tally()
        self._new_seconds: dict[str, _Seconds] = {}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._new_requests[path, status] += 1
        times = self._new_seconds.get(path)
        if times is None:
            times = self._new_seconds[path] = _Seconds()
        times.in_bucket[bisect_left(BUCKETS, seconds)] += 1
        times.total += seconds

    def scored(self, rows: int) -> None:
        """Count the rows of a batch."""
        self._rows.inc(rows)

    def decided(self, answers: Iterable[Preview]) -> None:
        """Count what was answered to questions."""
        for answer in answers:
            self._new_answers[answer.action, answer.degraded] += 1

    def shed(self, why: str) -> None:
        """Count a request that was refused to protect the others."""
        self._shed.labels(why).inc()

    def swapped(self, role: str, version: str) -> None:
        """Note which version serves in this role now."""
        if version.isdecimal():
            self._version.labels(role).set(int(version))

    def flush(self) -> None:
        """Make what was counted visible."""
        for (path, status), count in self._new_requests.items():
            self._requests.labels(path, str(status)).inc(count)
        for (action, degraded), count in self._new_answers.items():
            self._answers.labels(action.value if action else "none", str(degraded).lower()).inc(count)
        for path, times in self._new_seconds.items():
            histogram = self._seconds.labels(path)
            # It can observe one value at a time only; its buckets and sum are private, and all that it has.
            for bucket, count in zip(histogram._buckets, times.in_bucket, strict=True):
                if count:
                    bucket.inc(count)
            histogram._sum.inc(times.total)
        self._new_requests.clear()
        self._new_answers.clear()
        self._new_seconds.clear()


def forget_dead_workers(folder: Path) -> None:
    """Remove what workers that were killed said of themselves, else the page shows their model's version for ever.

    `folder` is where the workers' values are. What they counted stays: it happened.
    """
    for file in folder.glob("gauge_live*.db"):
        if not psutil.pid_exists(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)


class _Seconds:
    """Times of one path since the last flush: how many in each bucket (the last one has no bound), and their sum."""

    def __init__(self) -> None:
        self.in_bucket = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
