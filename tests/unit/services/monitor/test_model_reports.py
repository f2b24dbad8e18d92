"""Records and drift reports of the monitor beside the model version that they are about."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from cardwatch.errors import RegistryUnavailable
from cardwatch.progress import STABLE, DayMonitored
from cardwatch.registry import ModelVersion
from services.monitor import model_reports
from services.monitor.model_reports import MAX_DAYS, MAX_REPORTS, WAITING, ModelReports
from tests.monitor_parts import DECAYED_ON, FIRST, POLICY, RETRAINED_ON, Parts, Served, live, on
from tests.monitors import monitor_of


class Artifacts:
    """Artifacts of the runs of the versions 1 and 2, by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.is_open = Event()
        self.is_open.set()
        self.failures: list[Exception] = []

    def version(self, version: str) -> ModelVersion | None:
        self.is_open.wait()
        if self.failures:
            raise self.failures.pop(0)
        return ModelVersion(version=version, run_id=f"run-{version}", tags={}) if version in {"1", "2"} else None

    def run_file_names(self, version: ModelVersion, folder: str) -> list[str]:
        return [path.rpartition("/")[2] for path in self.files if path.startswith(f"{version.run_id}/{folder}/")]

    def put_run_file(self, version: ModelVersion, path: str, content: bytes) -> None:
        self.files[f"{version.run_id}/{path}"] = content

    def days_of(self, version: str) -> list[DayMonitored]:
        return msgspec.json.decode(self.files[f"run-{version}/monitoring/days.json"], type=list[DayMonitored])


def monitored(number: int, version: str = "1") -> DayMonitored:
    return DayMonitored(
        day=FIRST + timedelta(days=number),
        champion_version=version,
        average_precision=None,
        baseline_average_precision=None,
        matured_frauds=0,
        drifted_features=[],
        drift_share=0.0,
        state=STABLE,
    )


def store(reports: ModelReports, record: DayMonitored, report: Path | None = None) -> None:
    reports.add(record)
    reports.store(record, report)


def test_every_version_has_the_records_of_its_days_and_its_drift_report(tmp_path: Path) -> None:
    parts, artifacts = Parts(tmp_path), Artifacts()
    reports = ModelReports(artifacts)
    monitor = monitor_of(
        observer=parts.observer,
        registry=parts.registry,
        deployments=parts.deployments,
        served=Served(parts.registry),
        publish=parts.topic.append,
        policy=POLICY,
        reports=tmp_path,
        model_reports=reports,
    )
    for day in range(RETRAINED_ON + 3):
        parts.run(monitor, *live(day))
        reports.wait()

    assert [record.day for record in artifacts.days_of("1")] == [on(day) for day in range(RETRAINED_ON + 1)]
    assert artifacts.days_of("1") + artifacts.days_of("2") == parts.monitored()
    assert artifacts.files[f"run-1/monitoring/drift-{on(DECAYED_ON)}.html"] == b"page"
    assert len(artifacts.files) == 3


def test_the_newest_days_are_kept_one_record_each(monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = Artifacts()
    reports = ModelReports(artifacts)
    for number in range(MAX_DAYS + 5):
        reports.add(monitored(number))
        store(reports, monitored(number))
        reports.wait()
    assert [record.day for record in artifacts.days_of("1")] == [on(number) for number in range(5, MAX_DAYS + 5)]

    one_record = len(msgspec.json.encode(monitored(0))) + 2
    monkeypatch.setattr(model_reports, "MAX_DAYS_BYTES", 3 * one_record)
    store(reports, monitored(MAX_DAYS + 5))
    reports.wait()
    assert [record.day for record in artifacts.days_of("1")] == [on(MAX_DAYS + number) for number in (3, 4, 5)]


def test_a_version_has_a_limited_number_of_reports_of_a_limited_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    artifacts = Artifacts()
    reports = ModelReports(artifacts)
    for number in range(MAX_REPORTS + 1):
        page = tmp_path / f"drift-{on(number)}.html"
        page.write_text("page")
        store(reports, monitored(number), page)
        reports.wait()
    assert len(artifacts.files) == MAX_REPORTS + 1
    assert f"version 1 has {MAX_REPORTS} drift reports: drift-{on(MAX_REPORTS)}.html is not added" in caplog.text

    monkeypatch.setattr(model_reports, "MAX_REPORT_BYTES", 3)
    store(reports, monitored(20, "2"), page)
    store(reports, monitored(21, "2"), tmp_path / "no-rows-to-compare.html")
    reports.wait()
    assert [name for name in artifacts.files if name.startswith("run-2")] == ["run-2/monitoring/days.json"]
    assert "4 bytes, too many" in caplog.text


@pytest.mark.parametrize("failure", [RegistryUnavailable("away"), OSError("no disk"), RuntimeError("a defect")])
def test_a_failed_upload_is_a_warning_and_the_next_one_has_its_days(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    artifacts = Artifacts()
    artifacts.failures = [failure]
    reports = ModelReports(artifacts)
    for number in (0, 1):
        store(reports, monitored(number))
    reports.wait()
    assert [record.day for record in artifacts.days_of("1")] == [on(0), on(1)]
    assert "the reports of version 1 are not stored with it" in caplog.text


def test_a_version_that_the_registry_does_not_have_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    artifacts = Artifacts()
    reports = ModelReports(artifacts)
    store(reports, monitored(0, "7"))
    reports.wait()
    assert artifacts.files == {} and "version 7 is not in the registry" in caplog.text


def test_a_registry_that_does_not_answer_delays_no_day(caplog: pytest.LogCaptureFixture) -> None:
    artifacts = Artifacts()
    artifacts.is_open.clear()
    reports = ModelReports(artifacts)
    with caplog.at_level(logging.WARNING):
        for number in range(WAITING + 5):
            store(reports, monitored(number))  # returns, although no upload ends
    assert "the registry is slow" in caplog.text
    artifacts.is_open.set()
    reports.wait()
    store(reports, monitored(WAITING + 5))
    reports.wait()
    assert [record.day for record in artifacts.days_of("1")] == [on(number) for number in range(WAITING + 6)]


def uploading_threads() -> set[Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "model-reports"}


def test_closing_ends_the_thread_and_drops_what_waits() -> None:
    """The monitor is built anew after every error that may pass, and the registry is closed with it."""
    artifacts, before = Artifacts(), uploading_threads()
    reports = ModelReports(artifacts)
    store(reports, monitored(0))
    reports.wait()
    [thread] = uploading_threads() - before
    reports.close()
    assert not thread.is_alive()
    assert [record.day for record in artifacts.days_of("1")] == [on(0)]


def test_a_registry_that_does_not_answer_delays_a_close_by_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_reports, "CLOSE_SECONDS", 0.01)
    artifacts, before = Artifacts(), uploading_threads()
    artifacts.is_open.clear()
    reports = ModelReports(artifacts)
    for number in range(WAITING + 2):
        store(reports, monitored(number))
    [thread] = uploading_threads() - before
    reports.close()
    artifacts.is_open.set()
    thread.join(10)
    assert not thread.is_alive()
