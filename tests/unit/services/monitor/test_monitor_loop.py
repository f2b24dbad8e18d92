"""The monitor's loop: days in order, nothing twice and nothing skipped, wherever it is stopped."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from math import isnan
from pathlib import Path
from threading import Event

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from adapters.prefect import RunState
from adapters.runtime.health import Health
from cardwatch.drift.policy import STATES, DayObservation, DriftPolicy, MeasuredPerformance
from cardwatch.errors import (
    ArchiveUnavailable,
    ModelRefused,
    NoChampion,
    OrchestratorUnavailable,
    RegistryUnavailable,
    ScoringUnavailable,
)
from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Progress,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.registry import CHALLENGER, CHAMPION, ModelVersion
from services.monitor.loop import follow
from services.monitor.metrics import MonitorMetrics
from services.monitor.monitor import Monitor
from services.monitor.outcomes import AlertOutcome as Fate
from services.monitor.outcomes import Outcomes, Sum
from services.monitor.retraining import DEPLOYMENT, MAX_RUNS, Retrainer
from services.monitor.retry import Patience, Stopped

FIRST = date(2025, 3, 1)
POLICY = DriftPolicy(learnable_days=1)
GOOD, BAD = (
    MeasuredPerformance(average_precision=0.8, frauds=100),
    MeasuredPerformance(average_precision=0.2, frauds=100),
)
LAST_GOOD = 3
WORN_OUT_ON = LAST_GOOD + POLICY.without_drift.days
RETRAINED_ON = LAST_GOOD + POLICY.judge_days + POLICY.learnable_days  # the fourth day of loss


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


class Registry:
    """Two versions: the second becomes champion when the flow says so."""

    def __init__(self) -> None:
        self.aliases = {CHAMPION: "1"}
        self.failures: Iterator[Exception | None] = iter(())
        tags = {"average_precision": "0.8", "frauds": "100", "verdict_reasons": '["passed: better"]'}
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
    """Runs that end at the second look; `ends` are their final states, the last one for ever."""

    def __init__(self, registry: Registry, *, promotes: bool, ends: tuple[str, ...] = ("COMPLETED",)) -> None:
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.away = 0
        self.fails_after_promoting = False
        self.when_asked: Callable[[], None] = lambda: None
        self._registry, self._promotes, self._ends = registry, promotes, ends
        self._looked: set[str] = set()
        self._keys: list[str] = []

    def run(self, name: str, parameters: Mapping[str, object], *, key: str) -> str:
        if self.away:
            self.away -= 1
            raise OrchestratorUnavailable("away")
        if key not in self._keys:
            self._keys.append(key)
            self.asked.append((name, parameters))
            self.when_asked()
        return str(self._keys.index(key))

    def state(self, run_id: str) -> RunState:
        if run_id not in self._looked:
            self._looked.add(run_id)
            return RunState(kind="RUNNING", name="Running", message="")
        kind = self._ends[min(int(run_id), len(self._ends) - 1)]
        if kind == "COMPLETED" or self.fails_after_promoting:
            self._registry.aliases[CHALLENGER] = "2"
            if self._promotes:
                self._registry.aliases[CHAMPION] = "2"
        return RunState(kind=kind, name=kind.title(), message="out of memory" if kind == "CRASHED" else "")


class Served:
    """A scoring service that follows the alias only after some questions."""

    def __init__(self, registry: Registry, *, late: int = 2) -> None:
        self._registry, self._late = registry, late

    def version(self) -> str | None:
        self._late -= 1
        if self._late == 1:
            raise ScoringUnavailable("away")
        return self._registry.aliases[CHAMPION] if self._late < 0 else "1"


class Observer:
    """Version 1 is worn out from a day on, version 2 never."""

    def __init__(self) -> None:
        self.observed: list[tuple[date, str]] = []
        self.has_matured: Outcomes = {}
        self.failures: Iterator[Exception | None] = iter(())

    def matured(self, day: date) -> Outcomes:
        return self.has_matured

    def observe(self, day: date, champion: ModelVersion) -> DayObservation:
        if (failure := next(self.failures, None)) is not None:
            raise failure
        self.observed.append((day, champion.version))
        worn_out = champion.version == "1" and day > on(LAST_GOOD)
        return DayObservation(
            day=day,
            champion_version=champion.version,
            drifted_features=[],
            drift_share=0.0,
            performance=BAD if worn_out else GOOD,
            promised=GOOD,
        )

    def save_report(self, path: Path) -> None:
        path.write_text("page", encoding="utf-8")


class Parts:
    """Everything around a monitor; the topic outlives a restart."""

    def __init__(self, reports: Path, *, promotes: bool = True, ends: tuple[str, ...] = ("COMPLETED",)) -> None:
        self.topic: list[Progress] = []
        self.reports = reports
        self.registry = Registry()
        self.deployments = Deployments(self.registry, promotes=promotes, ends=ends)
        self.observer = Observer()
        self.counted = CollectorRegistry()
        self.metrics = MonitorMetrics(self.counted)
        self.stopping = Event()

    def monitor(self, *, most_records: int = 1_000) -> Monitor:
        """A monitor that is stopped instead of writing record `most_records` of the topic."""

        def publish(record: Progress) -> None:
            if len(self.topic) >= most_records:
                raise Stopped
            self.topic.append(record)

        patience = Patience(self.stopping, Health(), retry_seconds=0.0)
        served = Served(self.registry)
        return Monitor(
            self.observer,
            self.registry,
            Retrainer(self.deployments, self.registry, served, policy=POLICY, patience=patience, poll_seconds=0.0),
            publish,
            policy=POLICY,
            reports=self.reports,
            patience=patience,
            metrics=self.metrics,
        )

    def run(self, monitor: Monitor, *days: Progress) -> None:
        """Read what the topic holds, then live through `days`."""
        for record in list(self.topic):
            monitor.take(record)
        monitor.work()
        for record in days:
            self.topic.append(record)
            monitor.take(record)
            monitor.work()

    def monitored(self) -> list[DayMonitored]:
        return [record for record in self.topic if isinstance(record, DayMonitored)]

    def told(self) -> list[Progress]:
        """What the monitor wrote."""
        return [
            r for r in self.topic if isinstance(r, DayMonitored | DriftDetected | RetrainingStarted | RetrainingEnded)
        ]


def emitted(day: int, *, decided: bool = True) -> DayEmitted:
    return DayEmitted(day=on(day), transaction_ends={}, label_ends={}, decided=decided)


def archived(day: int) -> DayArchived:
    return DayArchived(day=on(day), transactions=9, decisions=9, labels=1, table_id="t")


def live(*days: int) -> list[Progress]:
    return [record for day in days for record in (emitted(day), archived(day))]


ALL_DAYS = range(RETRAINED_ON + 3)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_history_that_nobody_decided_is_not_monitored(parts: Parts) -> None:
    started = Bootstrapped(day=on(1), champion_version="1", average_precision=0.8)
    parts.run(parts.monitor(), emitted(0, decided=False), archived(0), started, *live(2))
    assert [record.day for record in parts.monitored()] == [on(2)]


def test_a_day_is_monitored_when_it_is_archived_and_not_before(parts: Parts) -> None:
    monitor = parts.monitor()
    parts.run(monitor, emitted(0))
    assert parts.monitored() == []
    parts.run(monitor, archived(0))
    assert [(record.day, record.state) for record in parts.monitored()] == [(on(0), "stable")]


def test_a_worn_out_model_is_retrained_and_every_day_is_told_in_order(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    around = [record for record in parts.told() if record.day == on(RETRAINED_ON)]
    assert [type(record) for record in around] == [RetrainingStarted, RetrainingEnded, DayMonitored]
    assert around[1] == RetrainingEnded(
        day=on(RETRAINED_ON), challenger_version="2", promoted=True, reasons=["passed: better"]
    )
    assert [record.day for record in parts.monitored()] == [on(day) for day in ALL_DAYS]
    assert [record.champion_version for record in parts.monitored()][-3:] == ["1", "2", "2"]


def test_drift_is_told_once_on_the_first_day_that_calls_the_model_worn_out_with_a_page(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert [record.day for record in parts.topic if isinstance(record, DriftDetected)] == [on(WORN_OUT_ON)]
    assert [page.name for page in parts.reports.iterdir()] == [f"drift-{on(WORN_OUT_ON)}.html"]


def test_the_flow_is_told_the_day_the_reasons_and_the_windows(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    ((name, parameters),) = parts.deployments.asked
    assert name == DEPLOYMENT
    assert (parameters["as_of_day"], parameters["maturity_days"], parameters["judge_days"]) == (
        on(RETRAINED_ON).isoformat(),
        POLICY.maturity_days,
        POLICY.judge_days,
    )
    assert "average precision 0.200" in str(parameters["reasons"])


def test_a_refused_challenger_is_told_and_tried_again_after_the_rest(tmp_path: Path) -> None:
    parts = Parts(tmp_path, promotes=False)
    parts.run(parts.monitor(), *live(*range(RETRAINED_ON + POLICY.days_after_refusal + 1)))
    ended = [record for record in parts.topic if isinstance(record, RetrainingEnded)]
    assert [(record.day, record.challenger_version, record.promoted) for record in ended] == [
        (on(RETRAINED_ON), "2", False),
        (on(RETRAINED_ON + POLICY.days_after_refusal), "2", False),
    ]


def test_a_crashed_flow_is_run_again(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ends=("CRASHED", "COMPLETED"))
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert len(parts.deployments.asked) == 2
    assert [record.promoted for record in parts.topic if isinstance(record, RetrainingEnded)] == [True]


def test_a_flow_that_always_crashes_ends_the_retraining_with_its_reason(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ends=("CRASHED",))
    parts.run(parts.monitor(), *live(*range(RETRAINED_ON + 1)))
    (ended,) = [record for record in parts.topic if isinstance(record, RetrainingEnded)]
    assert (ended.challenger_version, ended.promoted) == (None, False)
    assert "ended as Crashed: out of memory" in ended.reasons[0]
    assert len(parts.deployments.asked) == MAX_RUNS
    assert parts.monitored()[-1].day == on(RETRAINED_ON)


def test_a_run_that_has_promoted_its_challenger_and_could_not_say_so_is_not_run_again(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ends=("FAILED",))
    parts.deployments.fails_after_promoting = True
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert len(parts.deployments.asked) == 1
    assert [(r.challenger_version, r.promoted) for r in parts.topic if isinstance(r, RetrainingEnded)] == [("2", True)]


def test_a_monitor_that_was_stopped_during_a_run_finds_that_run_again(parts: Parts) -> None:
    parts.deployments.when_asked = parts.stopping.set
    with pytest.raises(Stopped):
        parts.run(parts.monitor(), *live(*ALL_DAYS))
    parts.stopping.clear()
    parts.run(parts.monitor())
    assert len(parts.deployments.asked) == 1
    assert [record.promoted for record in parts.topic if isinstance(record, RetrainingEnded)] == [True]


def test_registry_and_orchestrator_that_are_away_cost_time_and_no_day(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    away = RegistryUnavailable("the registry is away")
    parts.registry.failures = iter([away, None, None, away, away])
    parts.deployments.away = 2
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert [record.day for record in parts.monitored()] == [on(day) for day in ALL_DAYS]
    assert "asking for the champion: trying again every 0 s: the registry is away" in caplog.text


def test_an_archive_that_is_not_there_yet_or_away_is_waited_for(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    away = ArchiveUnavailable("there is no archive yet")
    parts.observer.failures = iter([away, away, None, away])
    parts.run(parts.monitor(), *live(0, 1))
    assert [record.day for record in parts.monitored()] == [on(0), on(1)]
    assert caplog.text.count(f"observing {on(0)}: trying again every 0 s: there is no archive yet") == 1


def test_the_first_champion_is_waited_for(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.registry.failures = iter([NoChampion("train one")])
    parts.run(parts.monitor(), *live(0))
    assert [record.day for record in parts.monitored()] == [on(0)]
    assert "asking for the champion: trying again every 0 s: train one" in caplog.text


def test_the_metrics_are_those_of_the_newest_day_and_count_this_process_s_retrainings(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    newest = parts.monitored()[-1]
    moment = datetime.combine(newest.day, time(), UTC).timestamp()
    assert parts.counted.get_sample_value("cardwatch_monitor_day_timestamp_seconds") == moment
    assert parts.counted.get_sample_value("cardwatch_monitor_state", {"state": newest.state}) == 1.0
    states = [parts.counted.get_sample_value("cardwatch_monitor_state", {"state": state}) for state in STATES]
    assert sum(state or 0.0 for state in states) == 1.0
    retrainings = {
        verdict: parts.counted.get_sample_value("cardwatch_monitor_retrainings_total", {"verdict": verdict})
        for verdict in ("promoted", "refused", "failed")
    }
    assert retrainings == {"promoted": 1.0, "refused": 0.0, "failed": 0.0}
    again = CollectorRegistry()
    restarted = MonitorMetrics(again)
    for record in parts.topic:
        restarted.knows(record)
    assert again.get_sample_value("cardwatch_monitor_day_timestamp_seconds") == moment
    assert again.get_sample_value("cardwatch_monitor_retrainings_total", {"verdict": "promoted"}) == 0.0


def test_where_nothing_has_matured_there_is_no_performance_and_not_that_of_an_earlier_champion(parts: Parts) -> None:
    def performance() -> float | None:
        return parts.counted.get_sample_value("cardwatch_monitor_average_precision")

    assert isnan(performance() or 0.0)
    parts.run(parts.monitor(), *live(0))
    assert performance() == GOOD.average_precision
    parts.metrics.knows(structs.replace(parts.monitored()[0], champion_version="2", average_precision=None))
    assert isnan(performance() or 0.0)


def test_what_has_matured_is_counted_and_said(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "services.monitor")
    parts.observer.has_matured = {(Fate.CAUGHT, "EUR"): Sum(2, 300), (Fate.MISSED, "EUR"): Sum(1, 50)}
    parts.run(parts.monitor(), *live(0, 1))
    name = "cardwatch_monitor_matured_transactions_total"
    assert [parts.counted.get_sample_value(name, {"outcome": fate.value}) for fate in Fate] == [4.0, 2.0, 0.0, 0.0]
    name, labels = "cardwatch_monitor_matured_amount_minor_total", {"outcome": "missed", "currency": "EUR"}
    assert parts.counted.get_sample_value(name, labels) == 100.0
    assert f"matured with {on(1)}: 2 caught (300 EUR), 1 missed (50 EUR), 0 false_alarm, 0 passed" in caplog.text


def test_a_version_that_was_deleted_is_an_error(parts: Parts) -> None:
    parts.topic = [*live(0), RetrainingStarted(day=on(0), champion_version="7", reasons=[])]
    with pytest.raises(ModelRefused, match="version 7"):
        parts.run(parts.monitor())


@pytest.mark.parametrize("promotes", [True, False])
def test_stopped_before_any_of_its_records_a_monitor_goes_on_to_the_same_story(tmp_path: Path, promotes: bool) -> None:
    calm = Parts(tmp_path, promotes=promotes)
    calm.run(calm.monitor(), *live(*ALL_DAYS))
    own = [number for number, record in enumerate(calm.topic) if record in calm.told()]
    for number in own:
        parts = Parts(tmp_path, promotes=promotes)
        days = live(*ALL_DAYS)
        with pytest.raises(Stopped):
            parts.run(parts.monitor(most_records=number), *days)
        parts.run(parts.monitor(), *days[sum(isinstance(r, DayEmitted | DayArchived) for r in parts.topic) :])
        assert parts.told() == calm.told()


class Topic:
    """A reader of records that are there, which asks to stop when it has given them all and there was time to work."""

    def __init__(self, records: list[Progress], stopping: Event) -> None:
        self._records, self._stopping = records, stopping

    def poll(self, timeout_seconds: float) -> Progress | None:
        if not self._records:
            self._stopping.set()
            return None
        return self._records.pop(0)

    def caught_up(self) -> bool:
        return not self._records


def test_nothing_is_done_before_the_topic_has_been_read_and_then_the_monitor_is_ready(parts: Parts) -> None:
    done = DayMonitored(
        day=on(0),
        champion_version="1",
        average_precision=0.8,
        baseline_average_precision=0.8,
        matured_frauds=100,
        drifted_features=[],
        drift_share=0.0,
        state="stable",
    )
    observed_when_ready: list[int] = []

    class Noted(Health):
        def ready(self) -> None:
            observed_when_ready.append(len(parts.observer.observed))

    follow(parts.monitor(), Topic([*live(0, 1), done], parts.stopping), Patience(parts.stopping, Noted()))
    assert observed_when_ready == [0]
    assert parts.observer.observed == [(on(1), "1")]
