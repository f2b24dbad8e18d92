"""End-to-end latencies of the transactions of a demo."""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

LATENCY_WINDOW: Final = 2_000
Position = tuple[int, int]
"""Partition and offset in the log of transactions."""


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
