"""Metrics of the case queue, and the labels of decisions that were interrupted."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from adapters.cases.desk import CaseDesk
from adapters.cases.shown import QueueCounts
from cardwatch.errors import CardwatchError

COUNT_SECONDS: Final = 15.0

log = logging.getLogger(__name__)


class CaseMetrics:
    """Gauges of the days in the queue. A second instance needs its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        gauge = partial(Gauge, registry=registry)
        self._states = gauge("cardwatch_cases", "Cases of the days in the queue.", ["state"])
        self._decided = gauge("cardwatch_cases_decided", "Decided cases of the days in the queue.", ["outcome"])
        self._overdue = gauge(
            "cardwatch_cases_overdue", "Undecided cases whose service level has passed.", ["capacity"]
        )
        self._pending = gauge(
            "cardwatch_cases_labels_pending", "Cases with a decision whose label is not in the log yet."
        )

    def set(self, counts: QueueCounts) -> None:
        """Set all gauges."""
        for state, number in counts.by_state.items():
            self._states.labels(state).set(number)
        for outcome, number in counts.by_outcome.items():
            self._decided.labels(outcome).set(number)
        self._overdue.labels("within").set(counts.overdue)
        self._overdue.labels("beyond").set(counts.overdue_beyond)
        self._pending.set(counts.labels_pending)


class CaseKeeper:
    """Finishes interrupted decisions and counts cases, again and again."""

    def __init__(self, desk: CaseDesk, metrics: CaseMetrics) -> None:
        self._desk, self._metrics = desk, metrics
        self._problem = ""

    def keep_counting(self, stopping: threading.Event) -> None:
        """Work until `stopping` is set. Index or broker may be away meanwhile; the console goes on without them."""
        while True:
            self.count()
            if stopping.wait(COUNT_SECONDS):
                return

    def count(self) -> None:
        """Finish what was interrupted and count once. A problem is logged when it begins and when it ends."""
        problem = ""
        try:
            if finished := self._desk.finish_pending():
                log.info("the labels of %d interrupted decisions are written", finished)
            self._metrics.set(self._desk.counts())
        except CardwatchError as error:
            problem = str(error)
        if problem != self._problem:
            log.warning("the case queue cannot be read: %s", problem) if problem else log.info("it can be read again")
        self._problem = problem
