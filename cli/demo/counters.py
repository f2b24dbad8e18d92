"""Running counts over the stream of a demo: rate, end-to-end latency, fraud caught."""

from __future__ import annotations

from array import array
from collections import deque
from copy import copy
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cli.demo.snapshot import FraudView

RATE_WINDOW_SECONDS: Final = 5.0
LATENCY_WINDOW: Final = 2_000
Position = tuple[int, int]
"""Partition and offset in the log of transactions."""


class RateCounter:
    """Events per second over the last `RATE_WINDOW_SECONDS`, computed from running totals."""

    def __init__(self, now_seconds: float) -> None:
        self._totals: deque[tuple[float, int]] = deque([(now_seconds, 0)])

    def reached(self, total: int, now_seconds: float) -> None:
        """Record the running total `total`."""
        self._totals.append((now_seconds, total))

    def per_second(self, now_seconds: float) -> float:
        """The mean rate over the window that ends now."""
        totals = self._totals
        newest = totals[-1][1]
        while len(totals) > 1 and totals[1][0] <= now_seconds - RATE_WINDOW_SECONDS:
            totals.popleft()
        since, before = totals[0]
        return (newest - before) / max(1.0, min(now_seconds - since, RATE_WINDOW_SECONDS))


class LatencyRecorder:
    """Latencies of transactions, whichever of the two records, transaction or decision, is read first."""

    def __init__(self) -> None:
        self._created_ms: dict[Position, float] = {}
        self._arrived_ms: dict[Position, float] = {}
        self._from_ms = array("d")
        self._took_ms = array("d")

    def created(self, position: Position, created_ms: float) -> None:
        """The transaction at `position` was written to the log at `created_ms`."""
        self._created_ms[position] = created_ms
        self._add_if_complete(position)

    def decided(self, position: Position, arrived_ms: float) -> None:
        """The decision for the transaction at `position` could be read at `arrived_ms`."""
        self._arrived_ms[position] = arrived_ms
        self._add_if_complete(position)

    def percentiles_ms(self, *percents: float) -> list[float | None]:
        """Percentiles over the newest `LATENCY_WINDOW` decisions, None before the first."""
        newest = np.array(self._took_ms[-LATENCY_WINDOW:])
        return [float(np.percentile(newest, percent)) if len(newest) else None for percent in percents]

    def between(self, from_ms: float, until_ms: float) -> NDArray[np.float64]:
        """Latencies in ms of the transactions written in this span, both ends included, in order of arrival."""
        created = np.array(self._from_ms)
        chosen: NDArray[np.float64] = np.array(self._took_ms)[(created >= from_ms) & (created <= until_ms)]
        return chosen

    def _add_if_complete(self, position: Position) -> None:
        if position in self._created_ms and position in self._arrived_ms:
            created_ms = self._created_ms.pop(position)
            self._from_ms.append(created_ms)
            self._took_ms.append(self._arrived_ms.pop(position) - created_ms)


class FraudCounter:
    """Counts known and caught fraud. A label may be read before its decision; labels of history are never counted."""

    def __init__(self) -> None:
        self._decided: dict[str, tuple[int, float]] = {}  # amount in minor units, and the part that was stopped
        self._uncounted_frauds: set[str] = set()
        self._counts = FraudView()

    def decided(self, transaction_id: str, amount_minor: int, *, stopped: float) -> None:
        """Record a decision; `stopped`: the probability with which its action stops fraud, 0 for an approval."""
        self._counts.alarms += stopped > 0
        self._decided[transaction_id] = amount_minor, stopped
        self._count_if_complete(transaction_id)

    def fraud(self, transaction_id: str) -> None:
        """Record a label that says fraud. A repeated label counts once."""
        self._uncounted_frauds.add(transaction_id)
        self._count_if_complete(transaction_id)

    def view(self) -> FraudView:
        """The counts so far."""
        return copy(self._counts)

    def _count_if_complete(self, transaction_id: str) -> None:
        if transaction_id not in self._uncounted_frauds or transaction_id not in self._decided:
            return
        self._uncounted_frauds.remove(transaction_id)
        amount_minor, stopped = self._decided.pop(transaction_id)
        self._counts.known += 1
        self._counts.known_minor += amount_minor
        self._counts.caught += stopped
        self._counts.caught_minor += stopped * amount_minor
