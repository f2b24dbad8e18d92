"""Rates and percentiles over the newest records."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

WINDOW_SECONDS: Final = 5.0
LATENCY_WINDOW: Final = 2_000
"""Maximum number of decisions whose latencies give the percentiles."""
LATENCY_SECONDS: Final = 60.0


class RateCounter:
    """Events per second over the last `WINDOW_SECONDS`, from a running total. Times are those of a monotonic clock."""

    def __init__(self, now_seconds: float) -> None:
        self._totals: deque[tuple[float, int]] = deque([(now_seconds, 0)])

    def reached(self, total: int, now_seconds: float) -> None:
        """Record the running total."""
        self._totals.append((now_seconds, total))

    def begin_at(self, total: int, now_seconds: float) -> None:
        """Record the total at which counting begins, which is no traffic."""
        self._totals = deque([(now_seconds, total)])

    def per_second(self, now_seconds: float) -> float:
        """Return the mean rate over the window that ends now."""
        totals = self._totals
        newest = totals[-1][1]
        while len(totals) > 1 and totals[1][0] <= now_seconds - WINDOW_SECONDS:
            totals.popleft()
        since, before = totals[0]
        return (newest - before) / max(1.0, min(now_seconds - since, WINDOW_SECONDS))


class LatencyWindow:
    """The latencies of the newest decisions, in ms, none older than `LATENCY_SECONDS`."""

    def __init__(self) -> None:
        self._newest: deque[tuple[float, float]] = deque(maxlen=LATENCY_WINDOW)

    def add(self, latency_ms: float, now_seconds: float) -> None:
        """Add the latency of a decision that has just been read."""
        self._newest.append((now_seconds, latency_ms))

    def percentiles_ms(self, *percents: float, now_seconds: float) -> list[float | None]:
        """Return percentiles of the newest decisions, None without any."""
        while self._newest and self._newest[0][0] < now_seconds - LATENCY_SECONDS:
            self._newest.popleft()
        if not self._newest:
            return [None] * len(percents)
        latencies_ms = np.array(self._newest)[:, 1]
        return [float(value) for value in np.percentile(latencies_ms, percents)]
