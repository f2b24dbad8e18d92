"""Closing of days that no source announces, with a real broker: by heartbeats, once, also across a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.producer import LogWriter
from adapters.kafka.progress import ProgressWriter
from adapters.kafka.topics import create_topics, end_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.events import Channel, Label, LabelSource, Transaction, encode
from cardwatch.partitioning import Partitioner, Partitioning
from cardwatch.progress import DayArchived, DayEmitted, Progress, decode_progress
from cardwatch.topics import LABELS, PROGRESS, STREAM_GROUP, TRANSACTIONS
from cli.main import main
from services.archive.archiver import Archiver
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import restore_state

DAY = date(2025, 1, 6)
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
PARTITIONS = 4
Positions = dict[tuple[str, int], int]


def payment(number: int, moment: datetime) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id=f"card-{number}",
        merchant_id="shop",
        occurred_at=moment,
        amount_minor=1_000,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def label(number: int) -> Label:
    return Label(
        transaction_id=f"t-{number}",
        card_id=f"card-{number}",
        merchant_id="shop",
        is_fraud=True,
        effective_at=NOON,
        observed_at=NOON,
        source=LabelSource.CUSTOMER,
    )


class ArchiveBench:
    """An archive on the shared broker. It reads from the ends of the topics at the start of the test."""

    def __init__(self, broker: KafkaConnection, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.start: Positions = {(PROGRESS, 0): end_offsets(broker, PROGRESS)[0]}
        for topic in (TRANSACTIONS, LABELS):
            self.start |= {(topic, partition): end for partition, end in end_offsets(broker, topic).items()}

    def send(self, *records: Transaction | Label) -> None:
        writer = LogWriter(self.broker)
        for record in records:
            writer.write(LABELS if isinstance(record, Label) else TRANSACTIONS, record.card_id, encode(record))
        writer.flush()

    @contextmanager
    def running(self) -> Iterator[Callable[[Callable[[], bool]], None]]:
        """Yield a function that runs an archiver, built as in the service, until a condition holds."""
        writer = ArchiveWriter(self.folder / "archive")
        inquiry = OffsetReader(self.broker, STREAM_GROUP)
        archive = Archive(self.folder / "archive")
        archiver = Archiver(
            writer,
            ReferenceTableStore(self.folder / "tables"),
            restore_state(archive, range(PARTITIONS)),
            Partitioning(Partitioner.UNCHECKED, PARTITIONS),
            offsets=inquiry,
            announce=ProgressWriter(self.broker).write,
            metrics=ArchiveMetrics(CollectorRegistry()),
        )
        positions = {**self.start, **writer.positions(), (PROGRESS, 0): self.start[PROGRESS, 0]}
        with LogReader(self.broker, positions) as reader:

            def run_until(reached: Callable[[], bool]) -> None:
                deadline = time.monotonic() + 30.0
                while not reached():
                    assert time.monotonic() < deadline, "not within 30 s"
                    archiver.add(reader.poll(0.05))
                    archiver.close_days(reader)

            self._reader = reader
            yield run_until
        inquiry.close()
        writer.close()

    def progress(self) -> list[Progress]:
        """Return the progress records since the start of the test."""
        end, records = end_offsets(self.broker, PROGRESS)[0], []
        with LogReader(self.broker, {(PROGRESS, 0): self.start[PROGRESS, 0]}) as reader:
            deadline = time.monotonic() + 30.0
            while reader.reached(PROGRESS, 0) < end:
                assert time.monotonic() < deadline, "not within 30 s"
                records += [decode_progress(record.value) for record in reader.poll(0.1)]
        return records

    def everything_is_read(self) -> bool:
        """Whether the archiver has read every topic to its end."""
        return all(self._reader.reached(*partition) >= self._reader.end(*partition) for partition in self.start)

    def closed(self) -> dict[date, str]:
        return Archive(self.folder / "archive").closed_days()


@pytest.fixture
def bench(kafka: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveBench:
    create_topics(kafka, partitions=PARTITIONS)
    monkeypatch.setenv("CARDWATCH_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    return ArchiveBench(kafka, tmp_path)


def command(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_days_without_announcement_are_closed_once_by_heartbeats(bench: ArchiveBench) -> None:
    bench.send(payment(0, NOON), payment(1, NOON), label(0), payment(2, NOON + timedelta(days=1)))
    with bench.running() as run_until:
        output = command("heartbeat", "--source", "shop", "--at", "2025-01-07T00:00:00Z")
        assert output == "shop: everything before 2025-01-07T00:00:00+00:00 is sent\n"
        run_until(lambda: list(bench.closed()) == [DAY])

    command("heartbeat", "--source", "shop", "--at", "2025-01-08", "--last")
    with bench.running() as run_until:  # after a restart
        run_until(lambda: list(bench.closed()) == [DAY, DAY + timedelta(days=1)])

    records = bench.progress()
    emitted = [event for event in records if isinstance(event, DayEmitted)]
    archived = [event for event in records if isinstance(event, DayArchived)]
    assert [(event.day, event.inferred) for event in emitted] == [(DAY, True), (DAY + timedelta(days=1), True)]
    assert [(event.day, event.transactions, event.labels) for event in archived] == [
        (DAY, 2, 1),
        (DAY + timedelta(days=1), 1, 0),
    ]
    stored = ReferenceTableStore(bench.folder / "tables").all()
    assert [event.table_id for event in archived] == list(bench.closed().values()) == [t.table_id for t in stored]
    listing = command("tables").splitlines()
    assert [line.split()[:3] for line in listing] == [
        ["2025-01-07", stored[0].table_id, "1"],
        ["2025-01-08", stored[1].table_id, "1"],
    ]


def test_a_reader_reports_its_lag(bench: ArchiveBench) -> None:
    bench.send(*(payment(n, NOON) for n in range(400)))
    with LogReader(bench.broker, bench.start) as reader:
        deadline = time.monotonic() + 30.0
        read = 0
        while reader.lag(TRANSACTIONS) != 400 - read or not read:  # an end is known when its partition is fetched
            assert time.monotonic() < deadline, "not within 30 s"
            read += len(reader.poll(0.05, limit=1)) if not read else 0
        while read < 400:
            assert time.monotonic() < deadline, "not within 30 s"
            read += len([record for record in reader.poll(0.05) if record.topic == TRANSACTIONS])
        assert reader.lag(TRANSACTIONS) == 0


def test_with_announced_days_only_the_announcements_count(bench: ArchiveBench) -> None:
    last = NOON + timedelta(days=3)
    with bench.running() as run_until:
        bench.send(*(payment(n, NOON if n < 40 else last) for n in range(400)))
        ends = {str(partition): end for partition, end in end_offsets(bench.broker, TRANSACTIONS).items()}
        ProgressWriter(bench.broker).write(DayEmitted(day=DAY, transaction_ends=ends, label_ends={}, decided=False))
        command("heartbeat", "--source", "other", "--at", "2025-01-20")
        run_until(lambda: list(bench.closed()) == [DAY])
        bench.send(payment(401, last))
        run_until(bench.everything_is_read)
    assert list(bench.closed()) == [DAY]
    assert not [event for event in bench.progress() if isinstance(event, DayEmitted) and event.inferred]
