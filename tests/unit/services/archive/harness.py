"""An archiver with its folder, its topic offsets and its clock, and records for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from cardwatch.events import Action, Channel, Decision, Label, LabelSource, Transaction
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reference_table import MERCHANT_SECTION, MERCHANT_VALUES, ReferenceTable
from cardwatch.partitioning import UNCHECKED
from cardwatch.progress import DayArchived, DayEmitted, Heartbeat, Progress
from cardwatch.records import Record
from cardwatch.topics import PROGRESS
from services.archive.archiver import Archiver
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import restore_state

DAY = date(2025, 1, 6)
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
MIDNIGHT = datetime(2025, 1, 7, tzinfo=UTC)


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
    """Return a value of the single merchant in the table."""
    return float(table.sections[MERCHANT_SECTION].values[0, MERCHANT_VALUES.index(name)])


class FakeOffsets:
    """Ends and read offsets of one partition per topic."""

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}
        self.read: dict[str, int] = {}

    def reached(self, topic: str, _partition: int) -> int:
        return self.read.get(topic, 0)

    def end(self, topic: str, _partition: int) -> int:
        return self.ends.get(topic, 0)


class Killed(BaseException):
    """The process is killed at this point."""


class ArchiverHarness:
    """An archiver over a folder that survives its restarts."""

    def __init__(self, folder: Path, index_url: str = "") -> None:
        self.folder, self.index_url = folder, index_url
        self.offsets = FakeOffsets()
        self.decided = 0
        self.progress: list[Progress] = []
        self.counted = CollectorRegistry()
        self.metrics = ArchiveMetrics(self.counted)
        self.seconds = 0.0
        self.log_end = 2**40
        self.start()

    @property
    def archived_days(self) -> list[DayArchived]:
        return [event for event in self.progress if isinstance(event, DayArchived)]

    def start(self) -> None:
        self.writer, archive = ArchiveWriter(self.folder, self.index_url), Archive(self.folder, self.index_url)
        self.tables = ReferenceTableStore(self.folder / "tables")
        self.archiver = Archiver(
            self.writer,
            self.tables,
            restore_state(archive, [0]),
            UNCHECKED,
            offsets=self,
            announce=self.progress.append,
            metrics=self.metrics,
            now_seconds=lambda: self.seconds,
        )

    def committed(self, _topic: str, partitions: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(partitions, self.decided) if self.decided else {}

    def end(self, _topic: str, _partition: int) -> int:
        return self.log_end

    def skipped(self, topic: str) -> float:
        """Return the number of records of a topic that were passed over."""
        return self.counted.get_sample_value("cardwatch_skipped_records_total", {"topic": topic}) or 0

    def add(self, *records: Record) -> None:
        self.archiver.add(records)
        self.archiver.close_days(self.offsets)

    def count(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric."""
        return self.counted.get_sample_value(f"cardwatch_archive_{name}", labels)

    def ids(self) -> list[str]:
        archive = Archive(self.folder, self.index_url)
        return archive.transactions(date.min, date.max)["transaction_id"].to_pylist()


def heartbeat(at: datetime, transactions: int) -> Record:
    return record(
        PROGRESS, 0, msgspec.json.encode(Heartbeat(source="pos", at=at, transaction_ends={"0": transactions}))
    )
