"""Stand-ins for what the monitor depends on: a registry, runs of the flow, a scoring service and an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from threading import Event

from prometheus_client import CollectorRegistry

from adapters.prefect import RunState
from adapters.runtime.retry import Stopped
from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.quarantine import QuarantineState
from cardwatch.drift.assessment import DayObservation
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import (
    OrchestratorUnavailable,
    ScoringUnavailable,
)
from cardwatch.progress import (
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Progress,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.registry import CHALLENGER, CHAMPION, ModelVersion
from services.monitor.ladder import MonitoredLadder
from services.monitor.metrics import MonitorMetrics
from services.monitor.monitor import Monitor
from services.monitor.outcomes import Outcomes
from tests.monitors import monitor_of

FIRST = date(2025, 3, 1)
POLICY = DriftPolicy(new_training_days=1)
GOOD, BAD = (
    MeasuredPerformance(average_precision=0.8, frauds=100),
    MeasuredPerformance(average_precision=0.2, frauds=100),
)
LAST_GOOD = 3
DECAYED_ON = LAST_GOOD + POLICY.without_drift.days
RETRAINED_ON = LAST_GOOD + POLICY.judge_days + POLICY.new_training_days  # the fourth day of loss


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


class Registry:
    """Two versions; the second becomes champion when the flow promotes it."""

    def __init__(self) -> None:
        self.aliases = {CHAMPION: "1"}
        self.failures: Iterator[Exception | None] = iter(())
        measurable = '{"average_precision": 0.8, "frauds": 100}'
        tags = {"measurable": measurable, "verdict_reasons": '["passed: better"]'}
        self.versions = {number: ModelVersion(version=number, run_id="", tags=tags) for number in "12"}

    def champion(self) -> ModelVersion:
        self._maybe_fail()
        return self.versions[self.aliases[CHAMPION]]

    def alias(self, name: str) -> ModelVersion | None:
        return self.versions.get(self.aliases.get(name, ""))

    def version(self, version: str) -> ModelVersion | None:
        self._maybe_fail()
        return self.versions.get(version)

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        raise AssertionError("the observer of these tests needs no reference")

    def _maybe_fail(self) -> None:
        if (failure := next(self.failures, None)) is not None:
            raise failure


class Deployments:
    """Runs that end at the second query; `ends` are their final states, the last one for all further runs."""

    def __init__(self, registry: Registry, *, promotes: bool, ends: tuple[str, ...] = ("COMPLETED",)) -> None:
        self.requested: list[tuple[str, Mapping[str, object]]] = []
        self.failures_left = 0
        self.fails_after_promoting = False
        self.on_request: Callable[[], None] = lambda: None
        self._registry, self._promotes, self._ends = registry, promotes, ends
        self._queried: set[str] = set()
        self._keys: list[str] = []

    def run(self, name: str, parameters: Mapping[str, object], *, key: str) -> str:
        if self.failures_left:
            self.failures_left -= 1
            raise OrchestratorUnavailable("away")
        if key not in self._keys:
            self._keys.append(key)
            self.requested.append((name, parameters))
            self.on_request()
        return str(self._keys.index(key))

    def state(self, run_id: str) -> RunState:
        if run_id not in self._queried:
            self._queried.add(run_id)
            return RunState(kind="RUNNING", name="Running", message="")
        kind = self._ends[min(int(run_id), len(self._ends) - 1)]
        if kind == "COMPLETED" or self.fails_after_promoting:
            self._registry.aliases[CHALLENGER] = "2"
            if self._promotes:
                self._registry.aliases[CHAMPION] = "2"
        return RunState(kind=kind, name=kind.title(), message="out of memory" if kind == "CRASHED" else "")


class Served:
    """A scoring service that serves the new champion after `late` queries."""

    def __init__(self, registry: Registry, *, late: int = 2) -> None:
        self._registry, self._late = registry, late

    def version(self) -> str | None:
        self._late -= 1
        if self._late == 1:
            raise ScoringUnavailable("away")
        return self._registry.aliases[CHAMPION] if self._late < 0 else "1"


def missing_devices(day: date) -> DataFinding:
    return DataFinding(
        check="null_share", column="device_id", day=day, since=day, affects_from=day, sentence="device_id is missing"
    )


class Observer:
    """Version 1 is decayed after the day `LAST_GOOD`, version 2 never."""

    def __init__(self) -> None:
        self.observed: list[tuple[date, str]] = []
        self.broken: set[date] = set()
        self.matured: Outcomes = {}
        self.failures: Iterator[Exception | None] = iter(())

    def matured_outcomes(self, day: date, excluded_days: frozenset[date]) -> Outcomes:
        return self.matured

    def observe(self, day: date, champion: ModelVersion, quarantine: QuarantineState) -> DayObservation:
        if (failure := next(self.failures, None)) is not None:
            raise failure
        self.observed.append((day, champion.version))
        decayed = champion.version == "1" and day > on(LAST_GOOD)
        return DayObservation(
            day=day,
            champion_version=champion.version,
            drifted_features=[],
            drift_share=0.0,
            not_compared={},
            null_share_changes={},
            data_findings=[missing_devices(day)] if day in self.broken else [],
            performance=BAD if decayed else GOOD,
            judged_performance=GOOD,
        )

    def save_report(self, path: Path) -> None:
        path.write_text("page", encoding="utf-8")


class Parts:
    """Dependencies of a monitor; the topic survives a restart."""

    def __init__(self, reports: Path, *, promotes: bool = True, ends: tuple[str, ...] = ("COMPLETED",)) -> None:
        self.topic: list[Progress] = []
        self.reports = reports
        self.registry = Registry()
        self.deployments = Deployments(self.registry, promotes=promotes, ends=ends)
        self.observer = Observer()
        self.counted = CollectorRegistry()
        self.metrics = MonitorMetrics(self.counted)
        self.stopping = Event()

    def monitor(self, *, max_records: int = 1_000, ladder: MonitoredLadder | None = None) -> Monitor:
        """A monitor that is stopped instead of writing record `max_records` of the topic."""

        def publish(record: Progress) -> None:
            if len(self.topic) >= max_records:
                raise Stopped
            self.topic.append(record)

        return monitor_of(
            observer=self.observer,
            registry=self.registry,
            deployments=self.deployments,
            served=Served(self.registry),
            publish=publish,
            policy=POLICY,
            reports=self.reports,
            metrics=self.metrics,
            stopping=self.stopping,
            ladder=ladder,
        )

    def run(self, monitor: Monitor, *days: Progress) -> None:
        """Read the records of the topic, then add `days` one after another."""
        for record in list(self.topic):
            monitor.add(record)
        monitor.work()
        for record in days:
            self.topic.append(record)
            monitor.add(record)
            monitor.work()

    def monitored(self) -> list[DayMonitored]:
        return [record for record in self.topic if isinstance(record, DayMonitored)]

    def published(self) -> list[Progress]:
        """Records that the monitor has published."""
        return [
            r for r in self.topic if isinstance(r, DayMonitored | DriftDetected | RetrainingStarted | RetrainingEnded)
        ]


def emitted(day: int, *, decided: bool = True) -> DayEmitted:
    return DayEmitted(day=on(day), transaction_ends={}, label_ends={}, decided=decided)


def archived(day: int) -> DayArchived:
    return DayArchived(day=on(day), transactions=9, decisions=9, labels=1, table_id="t")


def live(*days: int) -> list[Progress]:
    return [record for day in days for record in (emitted(day), archived(day))]
