"""How long each step of a batch takes: the latency budget, measured where it is spent."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

import numpy as np

NEWEST: Final = 500
"""Figures are over this many of the newest batches."""


class Stopwatch:
    """Laps within a batch, by name, on a monotonic clock in seconds. `on_lap` is told of each."""

    def __init__(
        self,
        now_seconds: Callable[[], float] = time.perf_counter,
        *,
        on_lap: Callable[[str, float], None] = lambda _name, _seconds: None,
    ) -> None:
        self._now_seconds, self._on_lap = now_seconds, on_lap
        self._laps_ms: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=NEWEST))
        self._last_seconds = 0.0

    def start(self) -> None:
        """A batch begins."""
        self._last_seconds = self._now_seconds()

    def lap(self, name: str) -> None:
        """What has passed since the last lap, or the start, went into `name`."""
        now_seconds = self._now_seconds()
        self._laps_ms[name].append((now_seconds - self._last_seconds) * 1000.0)
        self._on_lap(name, now_seconds - self._last_seconds)
        self._last_seconds = now_seconds

    def report(self) -> str:
        """Median and 99th percentile of each step in ms, over the newest batches."""
        figures = {name: np.percentile(list(laps), [50, 99]) for name, laps in self._laps_ms.items()}
        return ", ".join(f"{name} {p50:.1f} (p99 {p99:.1f})" for name, (p50, p99) in figures.items()) or "no batch"
