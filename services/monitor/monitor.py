"""Monitoring of live days: observe, assess, retrain if the policy requires it, and publish progress records."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path

from adapters.runtime.retry import StoppableRetry
from cardwatch.drift.performance import JudgedMeasures
from cardwatch.drift.policy import DriftPolicy
from cardwatch.drift.progress_state import ProgressState
from cardwatch.progress import Bootstrapped, DayMonitored, ModelMoved, Progress, RetrainingStarted
from cardwatch.registry import ModelRegistry, ModelVersion
from services.monitor.champions import judged_measures_of
from services.monitor.ladder import MonitoredLadder
from services.monitor.metrics import MonitorMetrics
from services.monitor.model_reports import ModelReports
from services.monitor.observation import Observer
from services.monitor.outcomes import summarize
from services.monitor.retraining import RunsRetraining

log = logging.getLogger(__name__)


class Monitor:
    """Monitors finished days one at a time, in order. A retraining belongs to the day that started it.

    The state is built from progress records alone, so that a restart changes nothing. `reports` is the folder of drift
    reports; None: no report is written. `model_reports` stores records and reports with the model versions; None: they
    are not stored there. `ladder` lets candidates climb; None: a promoted challenger is champion at once.
    """

    def __init__(  # noqa: PLR0913 (its parts, most of them by name)
        self,
        observer: Observer,
        registry: ModelRegistry,
        retrainer: RunsRetraining,
        publish: Callable[[Progress], None],
        *,
        policy: DriftPolicy,
        reports: Path | None,
        retry: StoppableRetry,
        metrics: MonitorMetrics,
        model_reports: ModelReports | None = None,
        ladder: MonitoredLadder | None = None,
    ) -> None:
        self._observer, self._registry, self._retrainer = observer, registry, retrainer
        self._metrics, self._model_reports = metrics, model_reports
        self._publish_record, self._policy, self._reports, self._retry = publish, policy, reports, retry
        self._state = ProgressState(policy, cache(self._judged_measures_of))
        self._ladder, self._told_moves = ladder, 0
        self._newest_day: date | None = None

    def add(self, record: Progress) -> None:
        """Add a progress record to the state; `work` acts on it."""
        self._state.add(record)
        match record:
            case ModelMoved():
                self._told_moves = max(self._told_moves, record.number)
            case DayMonitored() | Bootstrapped():
                self._newest_day = max(record.day, self._newest_day or record.day)
            case _:
                pass
        self._metrics.set_day(record)
        self._metrics.set_quarantine(self._state.quarantine)
        if self._model_reports is not None:
            self._model_reports.add(record)

    def work(self) -> None:
        """Monitor every waiting day. Steps completed before a restart are not repeated."""
        self._tell_moves()
        while (day := self._state.next_day()) is not None:
            self._retry.wait(0)
            self._monitor(day)
            self._tell_moves()

    def _tell_moves_until_served(self, ladder: MonitoredLadder) -> None:
        """Tell about moves that were just made, and wait for the scoring service: no day begins in between."""
        ladder.look_at_once()
        self._tell_moves()
        ladder.wait_until_served()

    def _tell_moves(self) -> None:
        if (ladder := self._ladder) is None:
            return
        newest, told = self._newest_day, self._told_moves
        for record in self._retry.call(lambda: list(ladder.new_moves(told, newest)), doing="reading the move log"):
            self._publish(record)

    def _monitor(self, day: date) -> None:
        champion = self._champion_of(day)
        assessed = self._state.assess(
            self._retry.call(
                lambda: self._observer.observe(day, champion, self._state.quarantine), doing=f"observing {day}"
            )
        )
        log.info("%s", assessed.summary)
        report = None
        if assessed.drift_detected is not None:
            if self._reports is not None:
                report = self._reports / f"drift-{day}.html"
                self._observer.save_report(report)
            self._publish(assessed.drift_detected)
        if assessed.retraining_started is not None:
            self._publish(assessed.retraining_started)
        if day in self._state.started and day not in self._state.ended:
            self._retrain(self._state.started[day])
        elif self._ladder is not None and self._ladder.day_ended(day):
            self._tell_moves_until_served(self._ladder)
        self._publish(assessed.monitored)
        if self._model_reports is not None:
            self._model_reports.store(assessed.monitored, report)
        excluded_days = self._state.quarantine.excluded_days
        outcomes = self._retry.call(
            lambda: self._observer.matured_outcomes(day, excluded_days),
            doing=f"counting the outcomes that matured with {day}",
        )
        self._metrics.count_outcomes(outcomes)
        if outcomes:
            log.info("matured with %s: %s", day, summarize(outcomes))

    def _retrain(self, started: RetrainingStarted) -> None:
        ended = self._retrainer.retrain(started)
        verdict = "promoted" if ended.promoted else "refused"
        log.info("%s: challenger %s %s", ended.day, ended.challenger_version, verdict)
        self._publish(ended)
        self._metrics.count_retraining(ended)
        if self._ladder is not None:
            self._tell_moves_until_served(self._ladder)

    def _publish(self, record: Progress) -> None:
        self._retry.call(lambda: self._publish_record(record), doing="publishing progress")
        self.add(record)

    def _champion_of(self, day: date) -> ModelVersion:
        """Return the champion of `day`, which a retraining started on that day may have replaced since."""
        if (started := self._state.started.get(day)) is not None:
            version = started.champion_version
            found = self._retry.call(lambda: self._registry.version(version), doing=f"reading version {version}")
            if found is not None:
                return found
            log.warning("version %s, the champion of %s, is not in the registry: the present one counts", version, day)
        return self._retry.call(self._registry.champion, doing="reading the champion")

    def _judged_measures_of(self, version: str) -> JudgedMeasures:
        return self._retry.call(
            lambda: judged_measures_of(self._registry, version),
            doing=f"reading version {version}",
        )
