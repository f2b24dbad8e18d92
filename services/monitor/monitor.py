"""The monitor's day: look, assess, retrain if the policy says so, and tell the topic `progress`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Protocol

from cardwatch.drift.policy import DECAYED, Assessment, DayObservation, DriftPolicy, MeasuredPerformance, assess
from cardwatch.progress import DriftDetected, Progress, RetrainingEnded, RetrainingStarted
from cardwatch.registry import ModelRegistry, ModelVersion
from services.monitor.champions import find, promised
from services.monitor.metrics import MonitorMetrics
from services.monitor.outcomes import Outcomes, in_words
from services.monitor.progress_state import Memory, monitored
from services.monitor.retraining import RetrainingResult
from services.monitor.retry import Patience

log = logging.getLogger(__name__)


class Observes(Protocol):
    """What is needed of `services.monitor.observation.Observer`."""

    def observe(self, day: date, champion: ModelVersion) -> DayObservation:
        """The day as the policy sees it."""
        ...

    def matured(self, day: date) -> Outcomes:
        """What became of the transactions of the day whose labels have matured with `day`."""
        ...

    def save_report(self, path: Path) -> None:
        """A page for people on the newest observation."""
        ...


class Retrains(Protocol):
    """What is needed of `services.monitor.retraining.Retrainer`."""

    def retrain(self, started: RetrainingStarted) -> RetrainingResult:
        """A retraining from its request to its end."""
        ...


class Monitor:
    """Monitors finished days, one at a time and in order. A retraining belongs to the day that asked for it.

    What it remembers it takes from its own records, so that it knows the same whether it was restarted or not.
    """

    def __init__(
        self,
        observer: Observes,
        registry: ModelRegistry,
        retrainer: Retrains,
        publish: Callable[[Progress], None],
        *,
        policy: DriftPolicy,
        reports: Path,
        patience: Patience,
        metrics: MonitorMetrics,
    ) -> None:
        self._observer, self._registry, self._retrainer = observer, registry, retrainer
        self._metrics = metrics
        self._publish, self._policy, self._reports, self._patience = publish, policy, reports, patience
        self._memory = Memory(policy, cache(self._promised_of))

    def take(self, record: Progress) -> None:
        """Take in a record of the topic; what follows from it is done by `work`."""
        self._memory.take(record)
        self._metrics.knows(record)

    def work(self) -> None:
        """Monitor every day that waits. What was begun before a restart is brought to its end, not done twice."""
        while (day := self._memory.next_day()) is not None:
            self._patience.pause(0)
            self._monitor(day)

    def _monitor(self, day: date) -> None:
        champion = self._champion_of(day)
        seen = self._patience.insist(f"observing {day}", lambda: self._observer.observe(day, champion))
        _, assessment = assess(self._memory.watch, seen, self._policy)
        log.info("%s: version %s is %s%s", day, champion.version, assessment.state, _why(assessment))
        version, reasons = champion.version, assessment.reasons
        if assessment.state == DECAYED and version not in self._memory.worn_out:
            self._observer.save_report(self._reports / f"drift-{day}.html")
            self._tell(DriftDetected(day=day, champion_version=version, reasons=reasons))
        if assessment.retrain and day not in self._memory.started:
            self._tell(RetrainingStarted(day=day, champion_version=version, reasons=reasons))
        if day in self._memory.started and day not in self._memory.ended:
            self._retrain(self._memory.started[day])
        self._tell(monitored(seen, assessment))
        matured = self._patience.insist(f"what has matured with {day}", lambda: self._observer.matured(day))
        self._metrics.matured(matured)
        if matured:
            log.info("matured with %s: %s", day, in_words(matured))

    def _retrain(self, started: RetrainingStarted) -> None:
        outcome = self._retrainer.retrain(started)
        verdict = "promoted" if outcome.promoted else "refused"
        log.info("%s: challenger %s %s", started.day, outcome.challenger_version, verdict)
        ended = RetrainingEnded(
            day=started.day,
            challenger_version=outcome.challenger_version,
            promoted=outcome.promoted,
            reasons=outcome.reasons,
        )
        self._tell(ended)
        self._metrics.retrained(ended)

    def _tell(self, record: Progress) -> None:
        self._patience.insist("telling the topic", lambda: self._publish(record))
        self.take(record)

    def _champion_of(self, day: date) -> ModelVersion:
        """The champion that `day` is about: a retraining that this day asked for may have replaced it since."""
        if (started := self._memory.started.get(day)) is not None:
            return self._version(started.champion_version)
        return self._patience.insist("asking for the champion", self._registry.champion)

    def _version(self, version: str) -> ModelVersion:
        return self._patience.insist(f"asking for version {version}", lambda: find(self._registry, version))

    def _promised_of(self, version: str) -> MeasuredPerformance | None:
        return promised(self._version(version), fewest_frauds=self._policy.minimum_frauds)


def _why(assessment: Assessment) -> str:
    return f" ({'; '.join(assessment.reasons)})" if assessment.reasons else ""
