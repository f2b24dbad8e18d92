"""The monitor: days in order, no step repeated and none skipped, wherever it is interrupted."""

from datetime import UTC, datetime, time
from math import isnan
from pathlib import Path
from threading import Event

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from adapters.runtime.health import Health
from adapters.runtime.retry import StoppableRetry, Stopped
from cardwatch.errors import (
    ArchiveUnavailable,
    NoChampion,
    RegistryUnavailable,
)
from cardwatch.progress import (
    STATES,
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    NullShareChange,
    Progress,
    RetrainingEnded,
    RetrainingStarted,
)
from services.monitor.loop import follow
from services.monitor.metrics import MonitorMetrics
from services.monitor.outcomes import AlertOutcome, OutcomeTotal
from services.monitor.retraining import DEPLOYMENT, MAX_RUNS
from tests.monitor_parts import DECAYED_ON, GOOD, POLICY, RETRAINED_ON, Parts, archived, emitted, live, on

ALL_DAYS = range(RETRAINED_ON + 3)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_history_without_decisions_is_not_monitored(parts: Parts) -> None:
    started = Bootstrapped(day=on(1), champion_version="1", average_precision=0.8)
    parts.run(parts.monitor(), emitted(0, decided=False), archived(0), started, *live(2))
    assert [record.day for record in parts.monitored()] == [on(2)]


def test_a_day_is_monitored_when_it_is_archived_and_not_before(parts: Parts) -> None:
    monitor = parts.monitor()
    parts.run(monitor, emitted(0))
    assert parts.monitored() == []
    parts.run(monitor, archived(0))
    assert [(record.day, record.state) for record in parts.monitored()] == [(on(0), "stable")]


@pytest.mark.rubric("monitor-4")
def test_a_decayed_model_is_retrained_and_every_day_is_published_in_order(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    around = [record for record in parts.published() if record.day == on(RETRAINED_ON)]
    assert [type(record) for record in around] == [RetrainingStarted, RetrainingEnded, DayMonitored]
    assert around[1] == RetrainingEnded(
        day=on(RETRAINED_ON), challenger_version="2", promoted=True, reasons=["passed: better"]
    )
    assert [record.day for record in parts.monitored()] == [on(day) for day in ALL_DAYS]
    assert [record.champion_version for record in parts.monitored()][-3:] == ["1", "2", "2"]


def test_drift_is_published_once_with_a_report_on_the_first_day_of_a_decayed_model(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert [record.day for record in parts.topic if isinstance(record, DriftDetected)] == [on(DECAYED_ON)]
    assert [page.name for page in parts.reports.iterdir()] == [f"drift-{on(DECAYED_ON)}.html"]


def test_the_flow_gets_the_day_the_reasons_and_the_windows(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    ((name, parameters),) = parts.deployments.requested
    assert name == DEPLOYMENT
    assert (parameters["as_of_day"], parameters["maturity_days"], parameters["judge_days"]) == (
        on(RETRAINED_ON).isoformat(),
        POLICY.maturity_days,
        POLICY.judge_days,
    )
    assert "average precision 0.200" in str(parameters["reasons"])


def test_after_a_refused_challenger_retraining_is_repeated_after_the_cooldown(tmp_path: Path) -> None:
    parts = Parts(tmp_path, promotes=False)
    parts.run(parts.monitor(), *live(*range(RETRAINED_ON + POLICY.cooldown_days_after_refusal + 1)))
    ended = [record for record in parts.topic if isinstance(record, RetrainingEnded)]
    assert [(record.day, record.challenger_version, record.promoted) for record in ended] == [
        (on(RETRAINED_ON), "2", False),
        (on(RETRAINED_ON + POLICY.cooldown_days_after_refusal), "2", False),
    ]


def test_a_crashed_flow_is_run_again(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ends=("CRASHED", "COMPLETED"))
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert len(parts.deployments.requested) == 2
    assert [record.promoted for record in parts.topic if isinstance(record, RetrainingEnded)] == [True]


def test_a_flow_that_always_crashes_ends_the_retraining_with_its_reason(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ends=("CRASHED",))
    parts.run(parts.monitor(), *live(*range(RETRAINED_ON + 1)))
    (ended,) = [record for record in parts.topic if isinstance(record, RetrainingEnded)]
    assert (ended.challenger_version, ended.promoted) == (None, False)
    assert "ended as Crashed: out of memory" in ended.reasons[0]
    assert len(parts.deployments.requested) == MAX_RUNS
    assert parts.monitored()[-1].day == on(RETRAINED_ON)


def test_a_failed_run_that_has_promoted_its_challenger_is_not_repeated(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ends=("FAILED",))
    parts.deployments.fails_after_promoting = True
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert len(parts.deployments.requested) == 1
    assert [(r.challenger_version, r.promoted) for r in parts.topic if isinstance(r, RetrainingEnded)] == [("2", True)]


def test_a_restarted_monitor_continues_with_the_run_in_progress(parts: Parts) -> None:
    parts.deployments.on_request = parts.stopping.set
    with pytest.raises(Stopped):
        parts.run(parts.monitor(), *live(*ALL_DAYS))
    parts.stopping.clear()
    parts.run(parts.monitor())
    assert len(parts.deployments.requested) == 1
    assert [record.promoted for record in parts.topic if isinstance(record, RetrainingEnded)] == [True]


def test_an_unavailable_registry_or_orchestrator_delays_days_and_skips_none(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    away = RegistryUnavailable("the registry is away")
    parts.registry.failures = iter([away, None, None, away, away])
    parts.deployments.failures_left = 2
    parts.run(parts.monitor(), *live(*ALL_DAYS))
    assert [record.day for record in parts.monitored()] == [on(day) for day in ALL_DAYS]
    assert "reading the champion: the registry is away; retrying every 0 s" in caplog.text


def test_an_unavailable_archive_is_retried(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    away = ArchiveUnavailable("there is no archive yet")
    parts.observer.failures = iter([away, away, None, away])
    parts.run(parts.monitor(), *live(0, 1))
    assert [record.day for record in parts.monitored()] == [on(0), on(1)]
    assert caplog.text.count(f"observing {on(0)}: there is no archive yet; retrying every 0 s") == 1


def test_a_missing_first_champion_is_retried(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.registry.failures = iter([NoChampion("train one")])
    parts.run(parts.monitor(), *live(0))
    assert [record.day for record in parts.monitored()] == [on(0)]
    assert "reading the champion: train one; retrying every 0 s" in caplog.text


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
        restarted.set_day(record)
    assert again.get_sample_value("cardwatch_monitor_day_timestamp_seconds") == moment
    assert again.get_sample_value("cardwatch_monitor_retrainings_total", {"verdict": "promoted"}) == 0.0


def test_without_mature_labels_the_performance_is_nan_and_not_that_of_an_earlier_champion(parts: Parts) -> None:
    def performance() -> float | None:
        return parts.counted.get_sample_value("cardwatch_monitor_average_precision")

    assert isnan(performance() or 0.0)
    parts.run(parts.monitor(), *live(0))
    assert performance() == GOOD.average_precision
    parts.metrics.set_day(structs.replace(parts.monitored()[0], champion_version="2", average_precision=None))
    assert isnan(performance() or 0.0)


def test_the_rate_of_missed_frauds_and_its_baseline_are_shown(parts: Parts) -> None:
    def shown() -> list[float | None]:
        names = ("missed_frauds_per_10000", "baseline_missed_frauds_per_10000")
        return [parts.counted.get_sample_value(f"cardwatch_monitor_{name}") for name in names]

    parts.run(parts.monitor(), *live(0))
    assert [isnan(value or 0.0) for value in shown()] == [True, True]  # its observer counts none
    counted = structs.replace(
        parts.monitored()[0], missed_frauds=60, matured_decisions=30_000, baseline_missed_per_10000=12.5
    )
    parts.metrics.set_day(counted)
    assert shown() == [20.0, 12.5]


def test_findings_about_the_data_are_counted_in_the_metrics(parts: Parts) -> None:
    parts.run(parts.monitor(), *live(0))
    found = structs.replace(
        parts.monitored()[0],
        not_compared={"count_1h": "there are fewer than 500 decisions: 10"},
        null_share_changes={
            name: NullShareChange(reference=0.5, current=1.0) for name in ("device_is_new", "device_age")
        },
    )
    parts.metrics.set_day(found)
    assert parts.counted.get_sample_value("cardwatch_monitor_features_not_compared") == 1.0
    assert parts.counted.get_sample_value("cardwatch_monitor_null_share_changes") == 2.0
    parts.metrics.set_day(parts.monitored()[0])
    assert parts.counted.get_sample_value("cardwatch_monitor_features_not_compared") == 0.0
    assert parts.counted.get_sample_value("cardwatch_monitor_null_share_changes") == 0.0


def test_matured_outcomes_are_counted_and_logged(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "services.monitor")
    parts.observer.matured = {
        (AlertOutcome.CAUGHT, "EUR"): OutcomeTotal(2, 300),
        (AlertOutcome.MISSED, "EUR"): OutcomeTotal(1, 50),
    }
    parts.run(parts.monitor(), *live(0, 1))
    name = "cardwatch_monitor_matured_transactions_total"
    counts = [parts.counted.get_sample_value(name, {"outcome": outcome.value}) for outcome in AlertOutcome]
    assert counts == [4.0, 2.0, 0.0, 0.0, 0.0]
    name, labels = "cardwatch_monitor_matured_amount_minor_total", {"outcome": "missed", "currency": "EUR"}
    assert parts.counted.get_sample_value(name, labels) == 100.0
    assert f"matured with {on(1)}: 2 caught (300 EUR), 1 missed (50 EUR), 0 false_alarm, 0 passed" in caplog.text


def test_the_days_of_a_version_that_was_deleted_are_read_and_the_next_day_is_monitored(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    of_deleted = DayMonitored(
        day=on(0),
        champion_version="7",
        average_precision=0.7,
        baseline_average_precision=0.8,
        matured_frauds=100,
        drifted_features=[],
        drift_share=0.0,
        state="stable",
    )
    parts.topic = [*live(0), of_deleted]
    parts.run(parts.monitor(), *live(1))
    assert [(record.day, record.champion_version) for record in parts.monitored()] == [(on(0), "7"), (on(1), "1")]
    assert "version 7 is not in the registry" in caplog.text


def test_a_retraining_of_a_version_that_was_deleted_has_ended_with_the_present_champion(parts: Parts) -> None:
    parts.topic = [*live(0), RetrainingStarted(day=on(0), champion_version="7", reasons=[])]
    parts.run(parts.monitor())
    assert [(r.day, r.challenger_version) for r in parts.topic if isinstance(r, RetrainingEnded)] == [(on(0), "1")]
    assert [(record.day, record.champion_version) for record in parts.monitored()] == [(on(0), "1")]


@pytest.mark.parametrize("promotes", [True, False])
def test_a_monitor_stopped_before_any_of_its_records_publishes_the_same_records(tmp_path: Path, promotes: bool) -> None:
    uninterrupted = Parts(tmp_path, promotes=promotes)
    uninterrupted.run(uninterrupted.monitor(), *live(*ALL_DAYS))
    own = [number for number, record in enumerate(uninterrupted.topic) if record in uninterrupted.published()]
    for number in own:
        parts = Parts(tmp_path, promotes=promotes)
        days = live(*ALL_DAYS)
        with pytest.raises(Stopped):
            parts.run(parts.monitor(max_records=number), *days)
        parts.run(parts.monitor(), *days[sum(isinstance(r, DayEmitted | DayArchived) for r in parts.topic) :])
        assert parts.published() == uninterrupted.published()


class FakeReader:
    """Returns the given records, and sets `stopping` after the last one and one pass of work."""

    def __init__(self, records: list[Progress], stopping: Event) -> None:
        self._records, self._stopping = records, stopping

    def poll(self, timeout_seconds: float) -> Progress | None:
        if not self._records:
            self._stopping.set()
            return None
        return self._records.pop(0)

    def caught_up(self) -> bool:
        return not self._records


def test_the_monitor_starts_work_and_is_ready_once_the_topic_is_read(parts: Parts) -> None:
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

    with pytest.raises(Stopped):
        follow(
            parts.monitor(), FakeReader([*live(0, 1), done], parts.stopping), StoppableRetry(parts.stopping, Noted())
        )
    assert observed_when_ready == [0]
    assert parts.observer.observed == [(on(1), "1")]
