"""The monitor job on AWS: when it detects a decayed model and requests a retraining."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from adapters.aws.eventbridge import EventBus
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_registry import SageMakerRegistry
from cardwatch.errors import (
    ArchiveUnavailable,
)
from cardwatch.progress import (
    DayMonitored,
    DriftDetected,
    RetrainingEnded,
    RetrainingStarted,
)
from services.monitor.aws.daily_job import MonitorJob, monitor_day
from tests.integration.aws_jobs.bank import (
    GROUP,
    LAST_DAY,
    NUMBERS,
    POLICIES,
    Killed,
    Stand,
    copied,
)


class FakeEventBridge:
    """An EventBridge client that keeps the events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.is_killed = False

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (the name in boto3)
        self.events += Entries
        if self.is_killed:
            raise Killed
        return {"FailedEntryCount": 0, "Entries": []}


@pytest.fixture
def event_bridge() -> FakeEventBridge:
    return FakeEventBridge()


def is_needed_to_monitor(key: str) -> bool:
    """Whether monitoring of the last days reads the object."""
    first = LAST_DAY - timedelta(days=8)  # a week before the day before the last one
    old = "/date=" in key and key.split("/date=")[1] < str(first) and "/labels/" not in key
    return key.startswith("archive/") and not old


@pytest.fixture
def monitor(stand: Stand, event_bridge: FakeEventBridge) -> tuple[Callable[..., None], S3ProgressLog]:
    """Return a function that monitors a day in a copy of the bucket, and the progress log of the copy."""
    bucket = copied(stand.bank.bucket, f"watched-{next(NUMBERS)}", is_needed_to_monitor)

    def run_job(day: date, **policy: int) -> None:
        monitor_day(
            MonitorJob(
                bucket,
                SageMakerRegistry(GROUP),
                EventBus("cardwatch-test", client=event_bridge),
                structs.replace(POLICIES.drift, judge_days=1, **policy),
                stand.bank.new_folder(),
            ),
            day,
        )

    return run_job, S3ProgressLog(bucket)


MonitorFixture = tuple[Callable[..., None], S3ProgressLog]


def test_for_a_decayed_champion_drift_is_reported_and_a_retraining_requested(
    monitor: MonitorFixture, event_bridge: FakeEventBridge
) -> None:
    run_job, progress = monitor
    run_job(LAST_DAY)
    detected, started, monitored = progress.of_day(LAST_DAY, ProgressPart.MONITOR)
    assert isinstance(detected, DriftDetected)
    assert isinstance(started, RetrainingStarted)
    assert isinstance(monitored, DayMonitored)
    assert (monitored.day, monitored.champion_version, monitored.state) == (LAST_DAY, "1", "decayed")
    assert monitored.average_precision is not None
    [event] = event_bridge.events
    assert (event["EventBusName"], event["Source"], event["DetailType"]) == (
        "cardwatch-test",
        "cardwatch",
        "DriftDetected",
    )
    assert msgspec.json.decode(event["Detail"]) == {
        "day": str(LAST_DAY),
        "reasons": started.reasons,
        "champion_version": "1",
    }


def test_a_monitored_day_is_not_monitored_again(monitor: MonitorFixture, event_bridge: FakeEventBridge) -> None:
    run_job, _ = monitor
    run_job(LAST_DAY)
    run_job(LAST_DAY)
    assert len(event_bridge.events) == 1


def test_a_job_killed_after_the_event_puts_it_again(monitor: MonitorFixture, event_bridge: FakeEventBridge) -> None:
    run_job, progress = monitor
    event_bridge.is_killed = True
    with pytest.raises(Killed):
        run_job(LAST_DAY)
    event_bridge.is_killed = False
    assert progress.of_day(LAST_DAY, ProgressPart.MONITOR) == []
    run_job(LAST_DAY)
    assert [event["Detail"] for event in event_bridge.events] == [event_bridge.events[0]["Detail"]] * 2


@pytest.mark.parametrize(("cooldown", "requested_again"), [(1, True), (2, False)])
def test_a_retraining_without_an_end_is_requested_again_after_the_cooldown_of_a_refusal(
    monitor: MonitorFixture, event_bridge: FakeEventBridge, *, cooldown: int, requested_again: bool
) -> None:
    run_job, progress = monitor
    before, last = LAST_DAY - timedelta(days=1), LAST_DAY
    run_job(before, cooldown_days_after_refusal=cooldown)
    run_job(last, cooldown_days_after_refusal=cooldown)
    days = [msgspec.json.decode(event["Detail"])["day"] for event in event_bridge.events]
    assert days == [str(before), str(last)][: 1 + requested_again]
    records = progress.of_day(last, ProgressPart.MONITOR)
    assert not [record for record in records if isinstance(record, DriftDetected)]  # reported once per champion


def test_after_a_promotion_no_retraining_is_requested_during_the_cooldown(
    monitor: MonitorFixture, event_bridge: FakeEventBridge
) -> None:
    run_job, progress = monitor
    before = LAST_DAY - timedelta(days=1)
    ended = RetrainingEnded(day=before, challenger_version="1", promoted=True, reasons=[])
    progress.write(before, ProgressPart.RETRAINING, [ended])
    run_job(LAST_DAY)
    assert event_bridge.events == []
    [*_, monitored] = progress.of_day(LAST_DAY, ProgressPart.MONITOR)
    assert isinstance(monitored, DayMonitored)
    assert monitored.state == "decayed"


def test_a_day_that_is_not_archived_yet_is_refused(monitor: MonitorFixture) -> None:
    run_job, progress = monitor
    with pytest.raises(ArchiveUnavailable, match="the archive's job comes first"):
        run_job(LAST_DAY + timedelta(days=1))
    assert progress.of_day(LAST_DAY + timedelta(days=1), ProgressPart.MONITOR) == []
