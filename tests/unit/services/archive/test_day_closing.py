"""Closing of days: when a day is complete, and that a crash leaves it with one table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from adapters.archive.example_transaction import ExampleTransactionFile
from adapters.archive.reader import Archive
from cardwatch.events import encode
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import MERCHANT_SECTION
from cardwatch.progress import Progress
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from tests.unit.services.archive.harness import (
    DAY,
    NOON,
    ArchiverHarness,
    Killed,
    decision,
    end_of_day,
    label,
    payment,
    record,
    value,
)


def test_history_is_closed_when_its_records_are_read(harness: ArchiverHarness) -> None:
    harness.add(end_of_day(DAY, transactions=2, decided=False), record(TRANSACTIONS, 0, encode(payment(0))))
    assert harness.archived_days == []
    harness.add(record(TRANSACTIONS, 1, encode(payment(1))))
    assert [(archived.day, archived.transactions, archived.decisions) for archived in harness.archived_days] == [
        (DAY, 2, 0)
    ]
    assert harness.ids() == ["t-0", "t-1"]


def test_a_live_day_waits_for_the_worker_and_for_its_decisions(harness: ArchiverHarness) -> None:
    harness.add(end_of_day(DAY, transactions=1, decided=True), record(TRANSACTIONS, 0, encode(payment(0))))
    assert harness.archived_days == []
    harness.decided, harness.offsets.ends[DECISIONS] = 1, 2  # committed; the decision and its marker are not read yet
    harness.add()
    assert harness.archived_days == []
    harness.offsets.read[DECISIONS] = 2
    harness.add(record(DECISIONS, 0, encode(decision(0))))
    assert [(archived.day, archived.decisions) for archived in harness.archived_days] == [(DAY, 1)]


def test_the_table_of_the_next_day_excludes_records_after_the_end_of_the_day(harness: ArchiverHarness) -> None:
    tomorrow = NOON + timedelta(days=1)
    harness.add(
        record(TRANSACTIONS, 0, encode(payment(0))),
        record(TRANSACTIONS, 1, encode(payment(1, tomorrow))),
        record(LABELS, 0, encode(label(0, observed_at=tomorrow))),
        end_of_day(DAY, transactions=1, decided=False),
    )
    table = harness.tables.newest(DAY + timedelta(days=1))
    assert table.table_id == harness.archived_days[0].table_id
    assert table.sections[MERCHANT_SECTION].hashes.tolist() == [identity_hash("shop")]
    assert value(table, "count_1d") == 1.0  # one transaction yesterday, not two
    assert value(table, "risk_recent") < 1.0  # no fraud known yet: a little under the base rate


def test_a_day_that_was_closed_before_a_restart_is_not_announced_again(harness: ArchiverHarness) -> None:
    ending = end_of_day(DAY, transactions=1, decided=False)
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), ending)
    harness.start()
    harness.add(ending)
    assert len(harness.archived_days) == 1


def test_after_a_restart_the_next_table_is_the_one_of_an_archive_that_never_stopped(tmp_path: Path) -> None:
    tables = []
    for restarts in (False, True):
        harness = ArchiverHarness(tmp_path / str(restarts))
        harness.add(record(TRANSACTIONS, 0, encode(payment(0))), record(LABELS, 0, encode(label(0, observed_at=NOON))))
        harness.add(end_of_day(DAY, transactions=1, labels=1, decided=False))
        if restarts:
            harness.start()
        tomorrow = DAY + timedelta(days=1)
        harness.add(record(TRANSACTIONS, 1, encode(payment(1, NOON + timedelta(days=1)))))
        harness.add(end_of_day(tomorrow, transactions=2, labels=1, decided=False))
        tables.append(harness.archived_days[-1].table_id)
    assert tables[0] == tables[1]


def test_a_day_that_is_announced_twice_is_closed_once(harness: ArchiverHarness) -> None:
    ending = end_of_day(DAY, transactions=1, decided=False)
    harness.add(ending, ending, record(TRANSACTIONS, 0, encode(payment(0))))
    harness.add(ending)
    assert len(harness.archived_days) == 1


def test_a_time_stamp_belongs_to_its_day_in_utc(harness: ArchiverHarness) -> None:
    late_evening_in_new_york = datetime(2025, 1, 5, 23, tzinfo=timezone(timedelta(hours=-5)))
    harness.add(record(TRANSACTIONS, 0, encode(payment(0, late_evening_in_new_york))))
    harness.add(end_of_day(DAY, transactions=1, decided=False))
    assert harness.archived_days[0].transactions == 1


@pytest.mark.parametrize("step", ["of_day", "put", "announce", "close_day"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_day_has_one_table_after_a_crash_between_any_two_steps_of_its_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    paid, ending = record(TRANSACTIONS, 0, encode(payment(0))), end_of_day(DAY, transactions=1, decided=False)
    uninterrupted = ArchiverHarness(tmp_path / "uninterrupted")
    uninterrupted.add(paid, ending)

    harness = ArchiverHarness(tmp_path / "killed")
    owner = {
        "of_day": harness.tables,
        "put": harness.tables,
        "announce": harness.archiver,
        "close_day": harness.writer,
    }[step]
    name = "_announce" if step == "announce" else step
    real = getattr(owner, name)

    def killing(*arguments: object) -> None:
        if when == "after":
            real(*arguments)
        raise Killed

    monkeypatch.setattr(owner, name, killing)
    with pytest.raises(Killed):
        harness.add(paid, ending)
    harness.start()
    harness.add(ending)
    assert {archived.table_id for archived in harness.archived_days} == {uninterrupted.archived_days[0].table_id}
    assert [table.table_id for table in harness.tables.all()] == [uninterrupted.archived_days[0].table_id]
    assert Archive(harness.folder).closed_days() == {DAY: uninterrupted.archived_days[0].table_id}


def test_a_stored_table_is_kept_when_more_was_read_after_a_crash(
    harness: ArchiverHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = end_of_day(DAY, transactions=1, decided=False)

    def dying(_event: Progress) -> None:
        raise Killed

    monkeypatch.setattr(harness.archiver, "_announce", dying)
    with pytest.raises(Killed):
        harness.add(record(TRANSACTIONS, 0, encode(payment(0))), ending)
    [used] = harness.tables.all()
    harness.start()
    harness.add(record(TRANSACTIONS, 1, encode(payment(1))), ending)  # of the same day, but late
    assert [archived.table_id for archived in harness.archived_days] == [used.table_id]
    harness.add(end_of_day(DAY + timedelta(days=1), transactions=2, decided=False))
    assert [value(table, "count_7d") for table in harness.tables.all()] == [
        pytest.approx(count / 7)
        for count in (1, 2)  # the late one counts in the next table
    ]


def test_a_transaction_from_the_far_future_does_not_change_the_tables_after_a_restart(tmp_path: Path) -> None:
    ids = []
    for restarts in (False, True):
        harness = ArchiverHarness(tmp_path / str(restarts))
        far = payment(1, datetime(2099, 1, 1, tzinfo=UTC))
        harness.add(record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(far)))
        harness.add(end_of_day(DAY, transactions=2, decided=False))
        if restarts:
            harness.start()
        harness.add(end_of_day(DAY + timedelta(days=1), transactions=2, decided=False))
        ids.append([table.table_id for table in harness.tables.all()])
    assert len(ids[0]) == 2
    assert ids[0] == ids[1]


def test_a_closed_day_leaves_the_newest_transaction_as_an_example_beside_the_tables(harness: ArchiverHarness) -> None:
    example = ExampleTransactionFile(harness.tables.folder)
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(payment(1))))
    assert example.read() is None
    harness.add(end_of_day(DAY, transactions=2, decided=False))
    assert example.read() == payment(1)
    harness.add(record(TRANSACTIONS, 2, b"not a transaction"))
    assert example.read() == payment(1)
