"""The archive: when a day is closed, and that a crash at any moment neither loses a row nor keeps one twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.runtime.logs import TRANSACTION_ID
from cardwatch.errors import ArchiveUnavailable, BrokerUnavailable, Unavailable
from cardwatch.events import Action, Channel, Decision, Label, LabelSource, Transaction, encode
from cardwatch.features.definitions import FEATURES
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import MERCHANT_VALUES, ReferenceTable
from cardwatch.progress import DayArchived, DayEmitted, Heartbeat, Progress
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from services.archive.__main__ import finish
from services.archive.archiver import FLUSH_SECONDS, Archiver
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import resumed
from services.archive.reference_feed import rebuilt

DAY = date(2025, 1, 6)
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)


def payment(number: int, moment: datetime = NOON) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id="card",
        merchant_id="shop",
        occurred_at=moment,
        amount_minor=1_000,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def decision(number: int) -> Decision:
    return Decision(
        transaction=payment(number),
        partition=0,
        offset=number,
        sequence=number,
        features=[None] * len(FEATURES),
        feature_schema="schema",
        table_id="table",
        policy_version="policy",
        action=Action.APPROVE,
        reasons=[],
        decided_at=NOON,
        latency_ms=1.0,
    )


def label(number: int, observed_at: datetime) -> Label:
    return Label(
        transaction_id=f"t-{number}",
        card_id="card",
        merchant_id="shop",
        is_fraud=True,
        effective_at=NOON,
        observed_at=observed_at,
        source=LabelSource.CUSTOMER,
    )


def record(topic: str, offset: int, value: bytes) -> Record:
    return Record(topic, 0, offset, 0, b"card", value)


def end_of_day(day: date, transactions: int, labels: int = 0, *, decided: bool) -> Record:
    emitted = DayEmitted(day=day, transaction_ends={"0": transactions}, label_ends={"0": labels}, decided=decided)
    return record(PROGRESS, 0, msgspec.json.encode(emitted))


def value(table: ReferenceTable, name: str) -> float:
    """This value of the one merchant in the table."""
    return float(table.values[0, MERCHANT_VALUES.index(name)])


class Log:
    """Where one partition of each topic ends, and how far it has been read."""

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}
        self.read: dict[str, int] = {}

    def reached(self, topic: str, _partition: int) -> int:
        return self.read.get(topic, 0)

    def end(self, topic: str, _partition: int) -> int:
        return self.ends.get(topic, 0)


class Killed(BaseException):
    """The process is gone at this point."""


class Desk:
    """An archivist over a folder that outlives it."""

    def __init__(self, folder: Path, index_url: str = "") -> None:
        self.folder, self.index_url = folder, index_url
        self.log = Log()
        self.decided = 0
        self.progress: list[Progress] = []
        self.counted = CollectorRegistry()
        self.metrics = ArchiveMetrics(self.counted)
        self.seconds = 0.0
        self.start()

    @property
    def told(self) -> list[DayArchived]:
        return [event for event in self.progress if isinstance(event, DayArchived)]

    def start(self) -> None:
        self.writer, archive = ArchiveWriter(self.folder, self.index_url), Archive(self.folder, self.index_url)
        self.tables = ReferenceTableStore(self.folder / "tables")
        self.archivist = Archiver(
            self.writer,
            self.tables,
            rebuilt(archive),
            resumed(archive, [0]),
            decided_up_to=self.decided_up_to,
            announce=self.progress.append,
            metrics=self.metrics,
            now_seconds=lambda: self.seconds,
        )

    def decided_up_to(self, partitions: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(partitions, self.decided) if self.decided else {}

    def take(self, *records: Record) -> None:
        self.archivist.take(records)
        self.archivist.close_days(self.log)

    def count(self, name: str, **labels: str) -> float | None:
        """A value on the metrics page."""
        return self.counted.get_sample_value(f"cardwatch_archive_{name}", labels)

    def ids(self) -> list[str]:
        archive = Archive(self.folder, self.index_url)
        return archive.transactions(date.min, date.max)["transaction_id"].to_pylist()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_history_is_closed_when_its_records_are_read(desk: Desk) -> None:
    desk.take(end_of_day(DAY, transactions=2, decided=False), record(TRANSACTIONS, 0, encode(payment(0))))
    assert desk.told == []
    desk.take(record(TRANSACTIONS, 1, encode(payment(1))))
    assert [(told.day, told.transactions, told.decisions) for told in desk.told] == [(DAY, 2, 0)]
    assert desk.ids() == ["t-0", "t-1"]


def test_a_live_day_waits_for_the_worker_and_for_its_decisions(desk: Desk) -> None:
    desk.take(end_of_day(DAY, transactions=1, decided=True), record(TRANSACTIONS, 0, encode(payment(0))))
    assert desk.told == []
    desk.decided, desk.log.ends[DECISIONS] = 1, 2  # committed; the decision and its marker are not read yet
    desk.take()
    assert desk.told == []
    desk.log.read[DECISIONS] = 2
    desk.take(record(DECISIONS, 0, encode(decision(0))))
    assert [(told.day, told.decisions) for told in desk.told] == [(DAY, 1)]


def test_the_table_of_the_next_day_does_not_know_what_was_read_too_early(desk: Desk) -> None:
    tomorrow = NOON + timedelta(days=1)
    desk.take(
        record(TRANSACTIONS, 0, encode(payment(0))),
        record(TRANSACTIONS, 1, encode(payment(1, tomorrow))),
        record(LABELS, 0, encode(label(0, observed_at=tomorrow))),
        end_of_day(DAY, transactions=1, decided=False),
    )
    table = desk.tables.newest(DAY + timedelta(days=1))
    assert table.table_id == desk.told[0].table_id
    assert table.merchants.tolist() == [identity_hash("shop")]
    assert value(table, "count_1d") == 1.0  # one transaction yesterday, not two
    assert value(table, "risk_30d") < 1.0  # no fraud known yet: a little under the base rate


def test_what_was_not_flushed_before_a_crash_is_read_again_and_kept_once(desk: Desk) -> None:
    first, second = record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(payment(1)))
    desk.take(first)
    desk.archivist.flush()
    desk.take(second)
    desk.start()  # the process was killed: what it held in memory is gone
    assert desk.writer.positions() == {(TRANSACTIONS, 0): 1}
    desk.take(second, end_of_day(DAY, transactions=2, decided=False))
    assert desk.ids() == ["t-0", "t-1"]


@pytest.mark.parametrize("call", ["write", "count", "close_day", "_announce", "_decided_up_to"])
def test_what_is_away_in_the_middle_of_any_call_costs_a_restart_and_no_row(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    log = [
        record(TRANSACTIONS, 0, encode(payment(0))),
        record(TRANSACTIONS, 1, encode(payment(1))),
        end_of_day(DAY, transactions=2, decided=True),
    ]
    desk.decided = 2
    desk.take(log[0])
    desk.archivist.flush()

    def away(*_arguments: object) -> None:
        raise BrokerUnavailable("no broker") if call.startswith("_") else ArchiveUnavailable("no index")

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(desk.archivist if call.startswith("_") else desk.writer, call, away)
        desk.take(*log[1:])
    desk.start()
    read_from = desk.writer.positions()[TRANSACTIONS, 0]
    desk.take(*(each for each in log if each.topic == PROGRESS or each.offset >= read_from))
    assert desk.ids() == ["t-0", "t-1"]
    assert {(told.day, told.transactions) for told in desk.told} == {(DAY, 2)}
    assert list(desk.writer.closed_days()) == [DAY]


def test_asked_to_stop_while_the_index_is_away_it_ends_without_what_can_be_read_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_arguments: object) -> None:
        raise ArchiveUnavailable("no index")

    desk.take(record(TRANSACTIONS, 0, encode(payment(0))))
    with monkeypatch.context() as patch:
        patch.setattr(desk.writer, "write", away)
        finish(desk.archivist)
    assert "which will be read again: no index" in caplog.text
    assert desk.writer.positions() == {}
    finish(desk.archivist)
    assert desk.ids() == ["t-0"]


def test_a_row_waits_a_quarter_of_an_hour_at_most(desk: Desk) -> None:
    desk.seconds = 5_000.0
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))))
    desk.seconds += FLUSH_SECONDS - 1.0
    desk.take(record(TRANSACTIONS, 1, encode(payment(1))))
    assert desk.ids() == []
    desk.seconds += 1.0
    desk.take()
    assert desk.ids() == ["t-0", "t-1"]
    desk.take(record(TRANSACTIONS, 2, encode(payment(2))))
    desk.seconds += FLUSH_SECONDS - 1.0
    desk.take()
    assert len(desk.ids()) == 2


def test_what_is_written_is_counted_when_it_is_written(desk: Desk) -> None:
    observed = NOON + timedelta(days=3)
    desk.take(
        end_of_day(DAY, transactions=3, decided=False),
        record(TRANSACTIONS, 0, encode(payment(0))),
        record(TRANSACTIONS, 1, encode(payment(1, NOON - timedelta(hours=1)))),
        record(LABELS, 0, encode(label(0, observed))),
    )
    assert [desk.count("buffered_rows"), desk.count("open_days"), desk.count("bytes")] == [3.0, 1.0, 0.0]
    assert desk.count("rows_total", kind=TRANSACTIONS) == 0.0
    desk.archivist.flush()
    desk.take()
    assert [desk.count("rows_total", kind=kind) for kind in (TRANSACTIONS, LABELS, DECISIONS)] == [2.0, 1.0, 0.0]
    assert [desk.count("labels_total", is_fraud=said) for said in ("true", "false")] == [1.0, 0.0]
    assert desk.count("label_delay_seconds_sum") == 3 * 86_400.0
    assert desk.count("newest_transaction_timestamp_seconds") == NOON.timestamp()
    assert desk.count("newest_label_timestamp_seconds") == observed.timestamp()
    assert desk.count("bytes") == sum(path.stat().st_size for path in desk.folder.glob("*/date=*/*.parquet"))
    assert desk.count("buffered_rows") == 0.0
    desk.take(record(TRANSACTIONS, 2, encode(payment(2))))
    assert [desk.count("open_days"), desk.count("buffered_rows")] == [0.0, 0.0]
    assert desk.count("closed_day_timestamp_seconds") == datetime(2025, 1, 6, tzinfo=UTC).timestamp()


def test_a_label_of_fraud_deserves_a_line_about_its_transaction(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "services.archive")
    desk.take(record(LABELS, 0, encode(label(7, NOON + timedelta(days=3)))))
    desk.archivist.flush()
    [line] = caplog.records
    assert line.message == "customer says fraud after 3.0 days, observed at 2025-01-09T12:00:00+00:00"
    assert line.__dict__[TRANSACTION_ID] == "t-7"


def test_a_file_that_no_crash_allowed_into_the_manifest_is_removed(desk: Desk) -> None:
    orphan = desk.folder / "transactions" / "date=2025-01-06" / "0000-000000000099.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half a file")
    desk.start()
    assert not orphan.exists()


def test_a_day_that_was_closed_before_a_restart_is_not_told_again(desk: Desk) -> None:
    ending = end_of_day(DAY, transactions=1, decided=False)
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))), ending)
    desk.start()
    desk.take(ending)
    assert len(desk.told) == 1


def test_after_a_restart_the_next_table_is_the_one_of_an_archive_that_never_stopped(tmp_path: Path) -> None:
    tables = []
    for restarts in (False, True):
        desk = Desk(tmp_path / str(restarts))
        desk.take(record(TRANSACTIONS, 0, encode(payment(0))), record(LABELS, 0, encode(label(0, observed_at=NOON))))
        desk.take(end_of_day(DAY, transactions=1, labels=1, decided=False))
        if restarts:
            desk.start()
        tomorrow = DAY + timedelta(days=1)
        desk.take(record(TRANSACTIONS, 1, encode(payment(1, NOON + timedelta(days=1)))))
        desk.take(end_of_day(tomorrow, transactions=2, labels=1, decided=False))
        tables.append(desk.told[-1].table_id)
    assert tables[0] == tables[1]


def test_a_record_that_is_none_is_passed_over_and_the_position_moves_on(desk: Desk) -> None:
    desk.take(record(TRANSACTIONS, 0, b"{"), record(TRANSACTIONS, 1, encode(payment(1))))
    desk.archivist.flush()
    assert desk.writer.positions()[TRANSACTIONS, 0] == 2
    assert desk.ids() == ["t-1"]


def test_a_record_of_progress_that_is_none_stops_nothing(desk: Desk) -> None:
    desk.take(record(PROGRESS, 0, b'{"type": "heartbeat"}'), record(PROGRESS, 1, b"\xff"))
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))), end_of_day(DAY, transactions=1, decided=False))
    assert [told.day for told in desk.told] == [DAY]


def test_a_day_that_is_announced_twice_is_closed_once(desk: Desk) -> None:
    ending = end_of_day(DAY, transactions=1, decided=False)
    desk.take(ending, ending, record(TRANSACTIONS, 0, encode(payment(0))))
    desk.take(ending)
    assert len(desk.told) == 1


def test_a_time_stamp_belongs_to_its_day_in_utc(desk: Desk) -> None:
    late_evening_in_new_york = datetime(2025, 1, 5, 23, tzinfo=timezone(timedelta(hours=-5)))
    desk.take(record(TRANSACTIONS, 0, encode(payment(0, late_evening_in_new_york))))
    desk.take(end_of_day(DAY, transactions=1, decided=False))
    assert desk.told[0].transactions == 1


@pytest.mark.parametrize("step", ["of_day", "put", "announce", "close_day"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_between_any_two_steps_of_closing_a_day_leaves_it_with_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    paid, ending = record(TRANSACTIONS, 0, encode(payment(0))), end_of_day(DAY, transactions=1, decided=False)
    unharmed = Desk(tmp_path / "unharmed")
    unharmed.take(paid, ending)

    desk = Desk(tmp_path / "killed")
    owner = {"of_day": desk.tables, "put": desk.tables, "announce": desk.archivist, "close_day": desk.writer}[step]
    name = "_announce" if step == "announce" else step
    real = getattr(owner, name)

    def deadly(*arguments: object) -> None:
        if when == "after":
            real(*arguments)
        raise Killed

    monkeypatch.setattr(owner, name, deadly)
    with pytest.raises(Killed):
        desk.take(paid, ending)
    desk.start()
    desk.take(ending)
    assert {told.table_id for told in desk.told} == {unharmed.told[0].table_id}
    assert [table.table_id for table in desk.tables.all()] == [unharmed.told[0].table_id]
    assert Archive(desk.folder).closed_days() == {DAY: unharmed.told[0].table_id}


def test_a_table_that_a_worker_may_have_used_is_not_replaced_by_what_was_read_after_a_crash(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = end_of_day(DAY, transactions=1, decided=False)

    def dying(_event: Progress) -> None:
        raise Killed

    monkeypatch.setattr(desk.archivist, "_announce", dying)
    with pytest.raises(Killed):
        desk.take(record(TRANSACTIONS, 0, encode(payment(0))), ending)
    [used] = desk.tables.all()
    desk.start()
    desk.take(record(TRANSACTIONS, 1, encode(payment(1))), ending)  # of the same day, but late
    assert [told.table_id for told in desk.told] == [used.table_id]
    desk.take(end_of_day(DAY + timedelta(days=1), transactions=2, decided=False))
    assert [value(table, "count_7d") for table in desk.tables.all()] == [
        pytest.approx(count / 7)
        for count in (1, 2)  # the late one counts in the next table
    ]


def heartbeat(at: datetime, transactions: int) -> Record:
    return record(
        PROGRESS, 0, msgspec.json.encode(Heartbeat(source="pos", at=at, transaction_ends={"0": transactions}))
    )


MIDNIGHT = datetime(2025, 1, 7, tzinfo=UTC)


def test_a_day_that_nobody_announces_is_announced_here_and_closed_at_the_positions_that_were_told(desk: Desk) -> None:
    desk.log.ends[LABELS] = desk.log.read[LABELS] = 1
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))), record(LABELS, 0, encode(label(0, NOON))))
    assert desk.progress == []
    desk.take(heartbeat(MIDNIGHT, transactions=1))
    expected = DayEmitted(day=DAY, transaction_ends={"0": 1}, label_ends={"0": 1}, decided=False, inferred=True)
    assert desk.progress == [expected]
    desk.take(heartbeat(MIDNIGHT, transactions=1), record(PROGRESS, 0, msgspec.json.encode(expected)))
    assert desk.progress[1:] == desk.told
    assert [(told.day, told.labels) for told in desk.told] == [(DAY, 1)]
    assert desk.tables.newest(DAY + timedelta(days=1)).label_positions == {"0": 1}


def test_after_a_restart_the_own_word_is_read_before_a_day_is_announced_again(desk: Desk) -> None:
    beat = heartbeat(MIDNIGHT, transactions=1)
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))), beat)
    [announced] = desk.progress
    desk.archivist.flush()
    desk.start()
    desk.log.ends[PROGRESS], desk.log.read[PROGRESS] = 2, 1
    desk.take(beat)
    assert desk.progress == [announced]
    desk.log.read[PROGRESS] = 2
    desk.take(record(PROGRESS, 1, msgspec.json.encode(announced)))
    assert [event for event in desk.progress if isinstance(event, DayEmitted)] == [announced]
    assert [told.day for told in desk.told] == [DAY]


def test_a_day_that_ended_before_a_restart_is_announced_after_it(desk: Desk) -> None:
    times = [NOON] * 16 + [MIDNIGHT + timedelta(hours=1)] * 16
    desk.take(*(record(TRANSACTIONS, n, encode(payment(n, moment))) for n, moment in enumerate(times[:-1])))
    assert desk.progress == []  # 15 of 31 records are past the day's end
    desk.archivist.flush()
    desk.start()
    desk.take(record(TRANSACTIONS, 31, encode(payment(31, times[-1]))))
    assert [(event.day, event.transaction_ends) for event in desk.progress if isinstance(event, DayEmitted)] == [
        (DAY, {"0": 32})
    ]


def test_where_a_worker_has_decided_anything_a_day_waits_for_its_decisions(desk: Desk) -> None:
    desk.decided = 1
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(payment(1))))
    desk.take(heartbeat(MIDNIGHT, transactions=2))
    [announced] = desk.progress
    assert isinstance(announced, DayEmitted)
    assert announced.decided
    desk.take(record(PROGRESS, 0, msgspec.json.encode(announced)))
    assert desk.told == []
    desk.decided = 2
    desk.take()
    assert [told.day for told in desk.told] == [DAY]


def test_where_a_source_announces_its_days_heartbeats_and_times_close_none(desk: Desk) -> None:
    desk.take(end_of_day(DAY - timedelta(days=1), transactions=0, decided=False))
    desk.take(record(TRANSACTIONS, 0, encode(payment(0))), heartbeat(MIDNIGHT, transactions=1))
    assert [told.day for told in desk.told] == [DAY - timedelta(days=1)]


def test_that_days_stay_open_is_told_with_what_they_wait_for(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        desk.take(record(TRANSACTIONS, n, encode(payment(n, NOON + timedelta(days=n)))))
    desk.take()
    assert [entry.message for entry in caplog.records] == [
        "3 days are open: partitions [0] have fewer than 31 transactions, and no source sends heartbeats"
    ]


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_a_time_at_the_ends_of_the_calendar_is_an_invalid_record(desk: Desk, year: int) -> None:
    moment = datetime(year, 6, 1, tzinfo=timezone(timedelta(hours=5)))
    desk.take(record(TRANSACTIONS, 0, encode(payment(0, moment))), record(TRANSACTIONS, 1, encode(payment(1))))
    desk.archivist.flush()
    desk.start()
    assert desk.ids() == ["t-1"]


def test_a_transaction_from_the_far_future_does_not_make_a_restart_forget_the_present(tmp_path: Path) -> None:
    ids = []
    for restarts in (False, True):
        desk = Desk(tmp_path / str(restarts))
        far = payment(1, datetime(2099, 1, 1, tzinfo=UTC))
        desk.take(record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(far)))
        desk.take(end_of_day(DAY, transactions=2, decided=False))
        if restarts:
            desk.start()
        desk.take(end_of_day(DAY + timedelta(days=1), transactions=2, decided=False))
        ids.append([table.table_id for table in desk.tables.all()])
    assert len(ids[0]) == 2
    assert ids[0] == ids[1]


def test_an_index_on_a_server_that_is_killed_costs_what_was_buffered_and_that_is_read_again(
    postgres: Any, tmp_path: Path
) -> None:
    first, second = (record(TRANSACTIONS, offset, encode(payment(offset))) for offset in range(2))
    desk = Desk(tmp_path, postgres.new_database())
    desk.take(first)
    desk.archivist.flush()
    desk.take(second)
    postgres.kill()
    try:
        with pytest.raises(ArchiveUnavailable):
            desk.archivist.flush()
        desk.writer.close()
    finally:
        postgres.start()
    desk.start()
    assert desk.writer.positions() == {(TRANSACTIONS, 0): 1}
    desk.take(end_of_day(DAY, transactions=2, decided=False), second)
    assert [(told.day, told.transactions) for told in desk.told] == [(DAY, 2)]
    assert desk.ids() == ["t-0", "t-1"]
    assert desk.writer.closed_days() == {DAY: desk.told[0].table_id}
    desk.writer.close()
