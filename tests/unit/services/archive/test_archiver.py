"""Rows of the archive: when they are written, and that a crash neither loses a row nor writes one twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from adapters.runtime.logs import TRANSACTION_ID
from cardwatch.errors import ArchiveUnavailable, BrokerUnavailable, Unavailable
from cardwatch.events import encode
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from services.archive.__main__ import finish
from services.archive.archiver import FLUSH_SECONDS
from tests.unit.services.archive.harness import (
    DAY,
    NOON,
    ArchiverHarness,
    end_of_day,
    label,
    payment,
    record,
)


def test_rows_that_were_not_flushed_before_a_crash_are_read_again_and_written_once(harness: ArchiverHarness) -> None:
    first, second = record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(payment(1)))
    harness.add(first)
    harness.archiver.flush()
    harness.add(second)
    harness.start()  # the process was killed, and its buffer is lost
    assert harness.writer.positions() == {(TRANSACTIONS, 0): 1}
    harness.add(second, end_of_day(DAY, transactions=2, decided=False))
    assert harness.ids() == ["t-0", "t-1"]


@pytest.mark.parametrize("call", ["write", "count", "close_day", "_announce", "_decided_up_to"])
def test_an_error_in_any_call_causes_a_restart_and_loses_no_row(
    harness: ArchiverHarness, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    log = [
        record(TRANSACTIONS, 0, encode(payment(0))),
        record(TRANSACTIONS, 1, encode(payment(1))),
        end_of_day(DAY, transactions=2, decided=True),
    ]
    harness.decided = 2
    harness.add(log[0])
    harness.archiver.flush()

    def away(*_arguments: object) -> None:
        raise BrokerUnavailable("no broker") if call.startswith("_") else ArchiveUnavailable("no index")

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(harness.archiver if call.startswith("_") else harness.writer, call, away)
        harness.add(*log[1:])
    harness.start()
    read_from = harness.writer.positions()[TRANSACTIONS, 0]
    harness.add(*(each for each in log if each.topic == PROGRESS or each.offset >= read_from))
    assert harness.ids() == ["t-0", "t-1"]
    assert {(archived.day, archived.transactions) for archived in harness.archived_days} == {(DAY, 2)}
    assert list(harness.writer.closed_days()) == [DAY]


def test_a_stop_while_the_index_is_away_drops_only_rows_that_are_read_again(
    harness: ArchiverHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_arguments: object) -> None:
        raise ArchiveUnavailable("no index")

    harness.add(record(TRANSACTIONS, 0, encode(payment(0))))
    with monkeypatch.context() as patch:
        patch.setattr(harness.writer, "write", away)
        finish(harness.archiver)
    assert "will be read again: no index" in caplog.text
    assert harness.writer.positions() == {}
    finish(harness.archiver)
    assert harness.ids() == ["t-0"]


def test_a_row_is_written_after_a_quarter_of_an_hour_at_the_latest(harness: ArchiverHarness) -> None:
    harness.seconds = 5_000.0
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))))
    harness.seconds += FLUSH_SECONDS - 1.0
    harness.add(record(TRANSACTIONS, 1, encode(payment(1))))
    assert harness.ids() == []
    harness.seconds += 1.0
    harness.add()
    assert harness.ids() == ["t-0", "t-1"]
    harness.add(record(TRANSACTIONS, 2, encode(payment(2))))
    harness.seconds += FLUSH_SECONDS - 1.0
    harness.add()
    assert len(harness.ids()) == 2


def test_rows_are_counted_when_they_are_written(harness: ArchiverHarness) -> None:
    observed = NOON + timedelta(days=3)
    harness.add(
        end_of_day(DAY, transactions=3, decided=False),
        record(TRANSACTIONS, 0, encode(payment(0))),
        record(TRANSACTIONS, 1, encode(payment(1, NOON - timedelta(hours=1)))),
        record(LABELS, 0, encode(label(0, observed))),
    )
    assert [harness.count("buffered_rows"), harness.count("open_days"), harness.count("bytes")] == [3.0, 1.0, 0.0]
    assert harness.count("rows_total", kind=TRANSACTIONS) == 0.0
    harness.archiver.flush()
    harness.add()
    assert [harness.count("rows_total", kind=kind) for kind in (TRANSACTIONS, LABELS, DECISIONS)] == [2.0, 1.0, 0.0]
    assert [harness.count("labels_total", is_fraud=said) for said in ("true", "false")] == [1.0, 0.0]
    assert harness.count("label_delay_seconds_sum") == 3 * 86_400.0
    assert harness.count("newest_transaction_timestamp_seconds") == NOON.timestamp()
    assert harness.count("newest_label_timestamp_seconds") == observed.timestamp()
    assert harness.count("bytes") == sum(path.stat().st_size for path in harness.folder.glob("*/date=*/*.parquet"))
    assert harness.count("buffered_rows") == 0.0
    harness.add(record(TRANSACTIONS, 2, encode(payment(2))))
    assert [harness.count("open_days"), harness.count("buffered_rows")] == [0.0, 0.0]
    assert harness.count("closed_day_timestamp_seconds") == datetime(2025, 1, 6, tzinfo=UTC).timestamp()


def test_a_label_of_fraud_is_logged_with_its_transaction(
    harness: ArchiverHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "services.archive")
    harness.add(record(LABELS, 0, encode(label(7, NOON + timedelta(days=3)))))
    harness.archiver.flush()
    [line] = caplog.records
    assert line.message == "customer says fraud after 3.0 days, observed at 2025-01-09T12:00:00+00:00"
    assert line.__dict__[TRANSACTION_ID] == "t-7"


def test_a_file_that_is_not_in_the_index_is_removed(harness: ArchiverHarness) -> None:
    orphan = harness.folder / "transactions" / "date=2025-01-06" / "0000-000000000099.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half a file")
    harness.start()
    assert not orphan.exists()


def test_an_invalid_record_is_skipped_and_the_position_advances(harness: ArchiverHarness) -> None:
    harness.add(record(TRANSACTIONS, 0, b"{"), record(TRANSACTIONS, 1, encode(payment(1))))
    harness.archiver.flush()
    assert harness.writer.positions()[TRANSACTIONS, 0] == 2
    assert harness.ids() == ["t-1"]


def test_an_invalid_progress_record_is_skipped(harness: ArchiverHarness) -> None:
    harness.add(record(PROGRESS, 0, b'{"type": "heartbeat"}'), record(PROGRESS, 1, b"\xff"))
    harness.add(record(TRANSACTIONS, 0, encode(payment(0))), end_of_day(DAY, transactions=1, decided=False))
    assert [archived.day for archived in harness.archived_days] == [DAY]


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_a_time_at_the_ends_of_the_calendar_is_an_invalid_record(harness: ArchiverHarness, year: int) -> None:
    moment = datetime(year, 6, 1, tzinfo=timezone(timedelta(hours=5)))
    harness.add(record(TRANSACTIONS, 0, encode(payment(0, moment))), record(TRANSACTIONS, 1, encode(payment(1))))
    harness.archiver.flush()
    harness.start()
    assert harness.ids() == ["t-1"]


def test_rows_buffered_when_the_index_server_is_killed_are_read_again(postgres: Any, tmp_path: Path) -> None:
    first, second = (record(TRANSACTIONS, offset, encode(payment(offset))) for offset in range(2))
    harness = ArchiverHarness(tmp_path, postgres.new_database())
    harness.add(first)
    harness.archiver.flush()
    harness.add(second)
    postgres.kill()
    try:
        with pytest.raises(ArchiveUnavailable):
            harness.archiver.flush()
        harness.writer.close()
    finally:
        postgres.start()
    harness.start()
    assert harness.writer.positions() == {(TRANSACTIONS, 0): 1}
    harness.add(end_of_day(DAY, transactions=2, decided=False), second)
    assert [(archived.day, archived.transactions) for archived in harness.archived_days] == [(DAY, 2)]
    assert harness.ids() == ["t-0", "t-1"]
    assert harness.writer.closed_days() == {DAY: harness.archived_days[0].table_id}
    harness.writer.close()
