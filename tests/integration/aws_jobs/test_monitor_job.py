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


class Heard:
    """An event bus that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.dies = False

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (it is called so)
        self.events += Entries
        if self.dies:
            raise Killed
        return {"FailedEntryCount": 0, "Entries": []}


@pytest.fixture
def heard() -> Heard:
    return Heard()


def is_needed_to_watch(key: str) -> bool:
    """The archive, as far as a look at the last days goes."""
    first = LAST_DAY - timedelta(days=7)
    old = "/date=" in key and key.split("/date=")[1] < str(first) and "/labels/" not in key
    return key.startswith("archive/") and not old


@pytest.fixture
def watch(stand: Stand, heard: Heard) -> tuple[Callable[..., None], S3ProgressLog]:
    """Looks at a day in a copy of the bucket; and what the copy has been told."""
    bucket = copied(stand.bank.bucket, f"watched-{next(NUMBERS)}", is_needed_to_watch)

    def look(day: date, **policy: int) -> None:
        monitor_day(
            MonitorJob(
                bucket,
                SageMakerRegistry(GROUP),
                EventBus("cardwatch-test", client=heard),
                structs.replace(POLICIES.drift, judge_days=1, **policy),
                stand.bank.new_folder(),
            ),
            day,
        )

    return look, S3ProgressLog(bucket)


Watch = tuple[Callable[..., None], S3ProgressLog]


def test_a_worn_out_champion_is_told_of_and_a_retraining_asked_for(watch: Watch, heard: Heard) -> None:
    look, progress = watch
    look(LAST_DAY)
    detected, started, monitored = progress.of_day(LAST_DAY, ProgressPart.MONITOR)
    assert isinstance(detected, DriftDetected)
    assert isinstance(started, RetrainingStarted)
    assert isinstance(monitored, DayMonitored)
    assert (monitored.day, monitored.champion_version, monitored.state) == (LAST_DAY, "1", "decayed")
    assert monitored.average_precision is not None
    [event] = heard.events
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


def test_a_day_that_was_looked_at_is_not_looked_at_again(watch: Watch, heard: Heard) -> None:
    look, _ = watch
    look(LAST_DAY)
    look(LAST_DAY)
    assert len(heard.events) == 1


def test_killed_after_the_event_it_is_put_again(watch: Watch, heard: Heard) -> None:
    look, progress = watch
    heard.dies = True
    with pytest.raises(Killed):
        look(LAST_DAY)
    heard.dies = False
    assert progress.of_day(LAST_DAY, ProgressPart.MONITOR) == []
    look(LAST_DAY)
    assert [event["Detail"] for event in heard.events] == [heard.events[0]["Detail"]] * 2


@pytest.mark.parametrize(("rest", "asked_again"), [(1, True), (2, False)])
def test_a_retraining_that_has_not_ended_is_asked_for_again_when_the_rest_after_a_refusal_is_over(
    watch: Watch, heard: Heard, *, rest: int, asked_again: bool
) -> None:
    look, progress = watch
    before, last = LAST_DAY - timedelta(days=1), LAST_DAY
    look(before, cooldown_days_after_refusal=rest)
    look(last, cooldown_days_after_refusal=rest)
    days = [msgspec.json.decode(event["Detail"])["day"] for event in heard.events]
    assert days == [str(before), str(last)][: 1 + asked_again]
    told = progress.of_day(last, ProgressPart.MONITOR)
    assert not [record for record in told if isinstance(record, DriftDetected)]  # told once of each champion


def test_after_a_promotion_the_new_champion_is_given_time(watch: Watch, heard: Heard) -> None:
    look, progress = watch
    before = LAST_DAY - timedelta(days=1)
    ended = RetrainingEnded(day=before, challenger_version="1", promoted=True, reasons=[])
    progress.write(before, ProgressPart.RETRAINING, [ended])
    look(LAST_DAY)
    assert heard.events == []
    [*_, monitored] = progress.of_day(LAST_DAY, ProgressPart.MONITOR)
    assert isinstance(monitored, DayMonitored)
    assert monitored.state == "decayed"


def test_a_day_that_is_not_archived_yet_is_waited_for(watch: Watch) -> None:
    look, progress = watch
    with pytest.raises(ArchiveUnavailable, match="the archive's job comes first"):
        look(LAST_DAY + timedelta(days=1))
    assert progress.of_day(LAST_DAY + timedelta(days=1), ProgressPart.MONITOR) == []
