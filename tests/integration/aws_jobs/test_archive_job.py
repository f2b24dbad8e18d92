"""The archive job on AWS, compared with the archive service on the same records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.aws.s3 import Bucket
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from cardwatch.errors import (
    Superseded,
)
from cardwatch.events import Decision, Label, decode, encode
from cardwatch.features.reference_table import MERCHANT_SECTION, MERCHANT_VALUES
from cardwatch.partitioning import UNCHECKED
from cardwatch.progress import (
    DayArchived,
    DayEmitted,
)
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from pipelines.steps.training_set import replay_log
from services.archive.archiver import Archiver
from services.archive.aws.repartition import partition_of
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import restore_state
from tests.integration.aws_jobs.bank import (
    HISTORY_DAYS,
    LAST_DAY,
    LAST_OF_HISTORY,
    NUMBERS,
    WORLD,
    Bank,
    Day,
    Killed,
    KillingBucket,
    copied,
    fetched,
    new_bucket,
)


class LocalArchive:
    """The archive service on the same records, with one partition per card."""

    def __init__(self, folder: Path) -> None:
        self.tables = ReferenceTableStore(folder / "tables")
        self.archive = Archive(folder)
        self._writer = ArchiveWriter(folder)
        self._archiver = Archiver(
            self._writer,
            self.tables,
            restore_state(self.archive, range(16)),
            UNCHECKED,
            offsets=self,
            announce=lambda _event: None,
            metrics=ArchiveMetrics(CollectorRegistry()),
        )
        self._ends: dict[str, defaultdict[int, int]] = {TRANSACTIONS: defaultdict(int), LABELS: defaultdict(int)}
        self._progress = count()

    def take(self, day: Day) -> None:
        records: list[Record] = []
        for decision in day.decisions:
            position = self._next(TRANSACTIONS, decision.transaction.card_id)
            records.append(self._record(TRANSACTIONS, position, decision.transaction))
            positioned = structs.replace(decision, partition=position[0], offset=position[1])
            records.append(self._record(DECISIONS, position, positioned, decision.transaction.card_id))
        records += [self._record(LABELS, self._next(LABELS, label.card_id), label) for label in day.labels]
        ends = {topic: {str(p): end for p, end in of_topic.items()} for topic, of_topic in self._ends.items()}
        emitted = DayEmitted(day=day.day, transaction_ends=ends[TRANSACTIONS], label_ends=ends[LABELS], decided=True)
        records.append(Record(PROGRESS, 0, next(self._progress), 0, None, msgspec.json.encode(emitted)))
        self._archiver.add(records)
        self._archiver.close_days(self)

    def close(self) -> None:
        self._writer.close()

    def reached(self, topic: str, partition: int) -> int:
        return self.end(topic, partition)

    def committed(self, topic: str, partitions: Sequence[int]) -> Mapping[int, int]:
        return {partition: self.end(topic, partition) for partition in partitions}

    def end(self, topic: str, partition: int) -> int:
        return self._ends.get(topic, {}).get(partition, 0)

    def _next(self, topic: str, card_id: str) -> tuple[int, int]:
        partition = partition_of(card_id)
        self._ends[topic][partition] += 1
        return partition, self._ends[topic][partition] - 1

    def _record(self, topic: str, position: tuple[int, int], value: Any, card_id: str = "") -> Record:
        return Record(topic, *position, 0, (card_id or value.card_id).encode(), encode(value))


@pytest.fixture(scope="module")
def local(history: Bank, tmp_path_factory: pytest.TempPathFactory) -> LocalArchive:
    with closing(LocalArchive(tmp_path_factory.mktemp("local"))) as local:
        for day in history.days[:HISTORY_DAYS]:
            local.take(day)
    return local


def without_positions(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["log_offset"]).sort_by([("transaction_id", "ascending")])


@pytest.mark.proves("moto", "the archive job makes the tables of the local archive, to the bit")
def test_tables_equal_those_of_the_archive_service(history: Bank, local: LocalArchive) -> None:
    local_ids = {table.valid_from_day: table.table_id for table in local.tables.all()}
    history.bucket.fetch_folder("tables/", history.folder / "tables")
    ids = {table.valid_from_day: table.table_id for table in ReferenceTableStore(history.folder / "tables").all()}
    assert len(local_ids) == HISTORY_DAYS
    assert {day: ids[day] for day in local_ids} == local_ids
    assert any(
        table.sections[MERCHANT_SECTION].values[:, MERCHANT_VALUES.index("risk_30d")].max() > 1.0
        for table in local.tables.all()
    )  # some merchant is known for fraud


def test_rows_equal_those_of_the_archive_service(history: Bank, local: LocalArchive) -> None:
    archive = fetched(history)
    span = WORLD.first_day, LAST_OF_HISTORY
    assert without_positions(archive.transactions(*span)).equals(without_positions(local.archive.transactions(*span)))
    assert without_positions(archive.decisions(*span)).equals(without_positions(local.archive.decisions(*span)))
    expected = without_positions(local.archive.all_labels())
    known = [label.transaction_id for day in history.days[:HISTORY_DAYS] for label in day.labels]
    assert sorted(known) == expected["transaction_id"].to_pylist()
    assert dict(list(archive.closed_days().items())[:HISTORY_DAYS]) == local.archive.closed_days()


@pytest.mark.proves("moto", "a replay of the archive gives every recorded feature, to the bit")
def test_replaying_the_archive_gives_every_recorded_feature_to_the_bit(history: Bank) -> None:
    archive = fetched(history)
    replayed = replay_log(archive, ReferenceTableStore(history.folder / "tables").all())
    decisions = archive.decisions(WORLD.first_day, LAST_DAY)
    recorded = np.array(decisions["features"].to_pylist(), np.float32)
    assert replayed.transactions["transaction_id"].to_pylist() == decisions["transaction_id"].to_pylist()
    np.testing.assert_array_equal(replayed.features, recorded)


def test_each_closed_day_is_announced(history: Bank) -> None:
    first = history.days[0]
    [archived] = S3ProgressLog(history.bucket).of_day(first.day, ProgressPart.ARCHIVE)
    assert isinstance(archived, DayArchived)
    assert (archived.transactions, archived.decisions) == (len(first.transactions), len(first.decisions))


def bytes_of(bucket: Bucket) -> dict[str, str]:
    """Return the ETag of every object but the index, whose bytes differ between runs."""
    return {found.key: found.etag for found in bucket.objects("") if not found.key.endswith("index.sqlite")}


@pytest.fixture
def short(aws: str, tmp_path: Path) -> Bank:
    """Two days that are not archived yet."""
    bank = Bank(new_bucket(f"short-{next(NUMBERS)}"), tmp_path)
    bank.live()
    bank.live()
    return bank


def test_archiving_a_day_again_changes_nothing(short: Bank) -> None:
    day = short.days[0].day
    short.archive(day)
    before = bytes_of(short.bucket), short.bucket.get("archive/index.sqlite")
    short.archive(day)
    assert (bytes_of(short.bucket), short.bucket.get("archive/index.sqlite")) == before


def test_open_days_are_closed_by_the_next_run(short: Bank) -> None:
    first = short.days[0].day
    short.archive(first - timedelta(days=2))
    short.archive(first + timedelta(days=1))
    assert list(fetched(short).closed_days()) == [first + timedelta(days=n) for n in (-2, -1, 0, 1)]


@pytest.mark.proves("moto", "the archive job gives the same archive after a kill at any write")
def test_a_run_that_is_killed_at_any_step_and_repeated_gives_the_same_archive(short: Bank) -> None:
    day, untouched = short.days[1].day, short.bucket
    complete = copied(untouched, f"{untouched.name}-complete")
    short.archive(day, complete)
    expected, rows = bytes_of(complete), contents_of(fetched(short, complete))
    for dies_at in range(100):
        bucket = copied(untouched, f"{untouched.name}-{dies_at}")
        try:
            short.archive(day, KillingBucket(bucket.name, dies_at))
        except Killed:
            short.archive(day, bucket)
        else:
            break
        assert bytes_of(bucket) == expected
        assert contents_of(fetched(short, bucket)) == rows
    assert dies_at > 5  # a table, a record of progress, three files or more, the index


def contents_of(archive: Archive) -> tuple[Any, ...]:
    rows = [archive.transactions(date.min, date.max), archive.decisions(date.min, date.max), archive.all_labels()]
    return *(table.to_pylist() for table in rows), archive.closed_days(), archive.positions(TRANSACTIONS)


def test_of_two_concurrent_runs_one_is_refused(short: Bank) -> None:
    day = short.days[0].day

    class OvertakenBucket(Bucket):
        def put(self, key: str, content: bytes | Path, *, replaces: str | None = None) -> str:
            if key.endswith("index.sqlite"):
                short.archive(day)
            return super().put(key, content, replaces=replaces)

    with pytest.raises(Superseded):
        short.archive(day, OvertakenBucket(short.bucket.name))
    assert list(fetched(short).closed_days()) == [day]


def test_a_stored_table_is_kept_when_decisions_arrive_after_a_crash(short: Bank) -> None:
    day = short.days[0].day
    with pytest.raises(Killed):
        short.archive(day, KillingBucket(short.bucket.name, 1))
    [used] = short.bucket.objects("tables/")
    first = short.days[0].decisions[0]
    late = structs.replace(first, offset=99_999, transaction=structs.replace(first.transaction, transaction_id="late"))
    short.bucket.put(f"decisions/shard=0/{99_999:020d}.jsonl", encode(late) + b"\n")
    short.archive(day)
    assert [found.key for found in short.bucket.objects("tables/")] == [used.key]
    assert "late" in fetched(short).transactions(day, day)["transaction_id"].to_pylist()


def test_repeated_decisions_are_archived_once_and_invalid_labels_are_skipped(
    short: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = short.days
    short.archive(first.day)
    again = b"\n".join(encode(decision) for decision in first.decisions[-3:])
    short.bucket.put(f"decisions/shard=0/again-{1:0>20}.jsonl", again)
    good = encode(second.labels[0] if second.labels else label_of(second.decisions[0]))
    short.bucket.put("labels/extra.jsonl", good + b"\n{}\n")
    short.archive(second.day)
    short.bucket.put("labels/extra.jsonl", good + b"\n{}\n" + encode(label_of(first.decisions[0])))  # it has grown
    short.archive(second.day + timedelta(days=1))
    archive = fetched(short)
    ids = archive.transactions(first.day, second.day)["transaction_id"].to_pylist()
    assert sorted(ids) == sorted(each.transaction_id for day in short.days for each in day.transactions)
    labels = archive.all_labels()["transaction_id"].to_pylist()
    assert len(labels) == len(first.labels) + len(second.labels) + 2
    assert "labels/extra.jsonl holds a line that is no label" in caplog.text


def label_of(decision: Decision) -> Label:
    transaction = decision.transaction
    return decode(
        msgspec.json.encode(
            {
                "transaction_id": transaction.transaction_id,
                "card_id": transaction.card_id,
                "merchant_id": transaction.merchant_id,
                "is_fraud": True,
                "effective_at": transaction.occurred_at,
                "observed_at": transaction.occurred_at,
                "source": "customer",
            }
        ),
        Label,
    )
