"""The archive: when a day is closed, and that a crash at any moment neither loses a row nor keeps one twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from adapters.archive import Archive
from adapters.archive_writer import ArchiveWriter
from adapters.kafka import DECISIONS, LABELS, PROGRESS, TRANSACTIONS, Record
from adapters.table_store import TableStore
from cardwatch.events import Action, Channel, Decision, Label, LabelSource, Transaction, encode
from cardwatch.features.columns import identity_hash
from cardwatch.features.table import FEATURES
from cardwatch.progress import DayArchived, DayEmitted
from services.archive.archivist import Archivist
from services.archive.feeding import rebuilt

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


class Log:
    """Where one partition of each topic ends, and how far it has been read."""

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}
        self.read: dict[str, int] = {}

    def reached(self, topic: str, _partition: int) -> int:
        return self.read.get(topic, 0)

    def end(self, topic: str, _partition: int) -> int:
        return self.ends.get(topic, 0)


class Desk:
    """An archivist over a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = Log()
        self.decided = 0
        self.told: list[DayArchived] = []
        self.start()

    def start(self) -> None:
        self.writer = ArchiveWriter(self.folder)
        self.tables = TableStore(self.folder / "tables")
        self.archivist = Archivist(
            self.writer,
            self.tables,
            rebuilt(Archive(self.folder)),
            decided_up_to=self.decided_up_to,
            announce=self.told.append,
        )

    def decided_up_to(self, partitions: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(partitions, self.decided)

    def take(self, *records: Record) -> None:
        self.archivist.take(records)
        self.archivist.close_days(self.log)

    def ids(self) -> list[str]:
        return Archive(self.folder).transactions(date.min, date.max)["transaction_id"].to_pylist()


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
    assert table.values[0, 1] == 1.0  # one transaction yesterday, not two
    assert table.values[0, 0] < 1.0  # no fraud known yet: a little under the base rate


def test_what_was_not_flushed_before_a_crash_is_read_again_and_kept_once(desk: Desk) -> None:
    first, second = record(TRANSACTIONS, 0, encode(payment(0))), record(TRANSACTIONS, 1, encode(payment(1)))
    desk.take(first)
    desk.archivist.flush()
    desk.take(second)
    desk.start()  # the process was killed: what it held in memory is gone
    assert desk.writer.positions() == {(TRANSACTIONS, 0): 1}
    desk.take(second, end_of_day(DAY, transactions=2, decided=False))
    assert desk.ids() == ["t-0", "t-1"]


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
