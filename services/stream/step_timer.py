"""Durations of the steps of a batch, to compare with the latency budget."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

WINDOW: Final = 500
"""Number of the most recent batches over which `StepTimer.report` computes its figures."""


class StepTimer:
    """Measures the steps of batches, also on two threads at the same time.

    `now_seconds` is a monotonic clock. `on_step` is called with the name and the seconds of each step.
    """

    def __init__(
        self,
        now_seconds: Callable[[], float] = time.perf_counter,
        *,
        on_step: Callable[[str, float], None] = lambda _name, _seconds: None,
    ) -> None:
        self._now_seconds, self._on_step = now_seconds, on_step
        self._durations_ms: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block as step `name`, unless it raises."""
        begin = self._now_seconds()
        yield
        seconds = self._now_seconds() - begin
        self._durations_ms[name].append(seconds * 1000.0)
        self._on_step(name, seconds)

    def report(self) -> str:
        """Return the median and the 99th percentile of each step in milliseconds, as one line."""
        figures = {
            name: np.percentile(list(durations), [50, 99]) for name, durations in list(self._durations_ms.items())
        }
        return ", ".join(f"{name} {p50:.1f} (p99 {p99:.1f})" for name, (p50, p99) in figures.items()) or "no batch"
