"""Days that no source announces: the archive announces and closes them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from cardwatch.events import encode
from cardwatch.progress import DayEmitted
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from tests.unit.services.archive.harness import (
    DAY,
    MIDNIGHT,
    NOON,
    ArchiverHarness,
    end_of_day,
    heartbeat,
    label,
    payment,
    record,
)


def test_a_day_without_announcement_is_inferred_and_closed_at_the_announced_positions(harness: ArchiverHarness) -> None:
    harness.offsets.ends[LABELS] = harness.offsets.read[LABELS] = 1
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), record(LABELS, 0, encode(label(0, NOON))))
    assert harness.progress == []
    harness.add(heartbeat(MIDNIGHT, transactions=1))
    expected = DayEmitted(day=DAY, transaction_ends={"0": 1}, label_ends={"0": 1}, decided=False, inferred=True)
    assert harness.progress == [expected]
    harness.add(heartbeat(MIDNIGHT, transactions=1), record(PROGRESS, 0, msgspec.json.encode(expected)))
    assert harness.progress[1:] == harness.archived_days
    assert [(archived.day, archived.labels) for archived in harness.archived_days] == [(DAY, 1)]
    assert harness.tables.newest(DAY + timedelta(days=1)).label_positions == {"0": 1}


def test_after_a_restart_its_own_announcement_is_read_before_a_day_is_announced(harness: ArchiverHarness) -> None:
    beat = heartbeat(MIDNIGHT, transactions=1)
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), beat)
    [announced] = harness.progress
    harness.archiver.flush()
    harness.start()
    harness.offsets.ends[PROGRESS], harness.offsets.read[PROGRESS] = 2, 1
    harness.add(beat)
    assert harness.progress == [announced]
    harness.offsets.read[PROGRESS] = 2
    harness.add(record(PROGRESS, 1, msgspec.json.encode(announced)))
    assert [event for event in harness.progress if isinstance(event, DayEmitted)] == [announced]
    assert [archived.day for archived in harness.archived_days] == [DAY]


def test_a_day_that_ended_before_a_restart_is_announced_after_it(harness: ArchiverHarness) -> None:
    times = [NOON] * 16 + [MIDNIGHT + timedelta(hours=1)] * 16
    harness.add(*(record(TRANSACTIONS, n, encode(payment(n, moment))) for n, moment in enumerate(times[:-1])))
    assert harness.progress == []  # 15 of 31 records are past the day's end
    harness.archiver.flush()
    harness.start()
    harness.add(record(TRANSACTIONS, 31, encode(payment(31, times[-1]))))
    assert [(event.day, event.transaction_ends) for event in harness.progress if isinstance(event, DayEmitted)] == [
        (DAY, {"0": 32})
    ]


def test_with_committed_offsets_of_a_worker_a_day_waits_for_its_decisions(harness: ArchiverHarness) -> None:
    harness.decided = 1
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(payment(1))))
    harness.add(heartbeat(MIDNIGHT, transactions=2))
    [announced] = harness.progress
    assert isinstance(announced, DayEmitted)
    assert announced.decided
    harness.add(record(PROGRESS, 0, msgspec.json.encode(announced)))
    assert harness.archived_days == []
    harness.decided = 2
    harness.add()
    assert [archived.day for archived in harness.archived_days] == [DAY]


def test_with_announced_days_heartbeats_and_times_close_none(harness: ArchiverHarness) -> None:
    harness.add(end_of_day(DAY - timedelta(days=1), transactions=0, decided=False))
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), heartbeat(MIDNIGHT, transactions=1))
    assert [archived.day for archived in harness.archived_days] == [DAY - timedelta(days=1)]


def test_many_open_days_are_logged_with_the_reason(harness: ArchiverHarness, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        harness.add(record(TRANSACTIONS, n, encode(payment(n, NOON + timedelta(days=n)))))
    harness.add()
    assert [entry.message for entry in caplog.records] == [
        "3 days are open: partitions [0] have fewer than 31 transactions, and no source sends heartbeats"
    ]
