"""The archive service: write the topics to Parquet and index, and close days in order.

A day is closed when all its transactions and labels are read, the stream worker has committed all its transactions, and
every decision committed by then is read too. The source announces where a day ends, or `services.archive.watermarks`
infers it.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from time import monotonic
from typing import Final, Protocol

from adapters.archive.example_transaction import ExampleTransactionFile
from adapters.archive.reference_feed import add_rows
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, Row, decision_row, label_row, transaction_row
from adapters.kafka.consumer import LogReader
from cardwatch.admission import admit, admit_decision
from cardwatch.errors import InvalidRecord
from cardwatch.events import Label, Transaction, decode
from cardwatch.partitioning import Partitioning
from cardwatch.progress import DayEmitted, Progress, decode_progress, require_known_partitions
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from services.archive.day_closing import close_day
from services.archive.day_inference import DayInference
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import ArchiverState
from services.archive.row_log import log_rows

log = logging.getLogger(__name__)

FLUSH_ROWS: Final = 50_000
"""Number of buffered rows that are written as one batch. It bounds the memory of the buffer."""
FLUSH_SECONDS: Final = 900.0
"""Maximum age of a buffered row in seconds. It bounds how long a slow stream waits to be archived, at the price of up
to 96 files a day per kind. Opening a file takes 1.5 ms: with a file a minute, reading three months would take three
minutes."""


class LogOffsets(Protocol):
    """Offsets of the log, see `adapters.kafka.offsets.OffsetReader`."""

    def committed(self, topic: str, partitions: Sequence[int]) -> Mapping[int, int]:
        """Return the offsets that the stream workers' group has committed."""
        ...

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record."""
        ...


class Archiver:
    """Turns records into archive rows and closes days.

    `state` is that of earlier runs. `announce` publishes to the topic `progress`. `now_seconds` is a monotonic clock.

    Every method may raise retriable errors. After one, the archiver must not be used again: its successor reads the
    buffered rows again, from the written positions.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        tables: ReferenceTableStore,
        state: ArchiverState,
        partitioning: Partitioning,
        *,
        offsets: LogOffsets,
        announce: Callable[[Progress], None],
        metrics: ArchiveMetrics,
        now_seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._writer, self._tables, self._builder, self._watermarks = writer, tables, state.builder, state.watermarks
        self._partitioning, self._offsets, self._announce = partitioning, offsets, announce
        self._example = ExampleTransactionFile(tables.folder)
        self._latest: Transaction | None = None
        self._metrics, self._now_seconds = metrics, now_seconds
        self._oldest_seconds: float | None = None
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._positions: dict[tuple[str, int], int] = writer.positions()
        self._open_days: deque[DayEmitted] = deque()
        self._inference = DayInference(
            state.watermarks,
            max(writer.closed_days(), default=None),
            decided_up_to=self._decided_up_to,
            announce=announce,
        )

    def add(self, records: Sequence[Record]) -> None:
        """Buffer records, and write the buffer when it is large or old. Call it without records too, for the age."""
        handlers = {
            TRANSACTIONS: self._add_transaction,
            LABELS: self._add_label,
            DECISIONS: self._add_decision,
            PROGRESS: self._add_progress,
        }
        for record in records:
            try:
                handlers[record.topic](record)
            except InvalidRecord as error:  # the stream worker writes a transaction to the dead letters
                self._metrics.skipped.add(record, error)
            if record.topic != PROGRESS:  # that topic is read from its beginning at every start
                self._positions[record.topic, record.partition] = record.offset + 1
        if self._buffered >= FLUSH_ROWS or self._is_buffer_old():
            self.flush()

    def close_days(self, reader: LogReader) -> None:
        """Close every complete day, in the order in which their ends were announced."""
        ends = {p: self._positions.get((TRANSACTIONS, p), 0) for p in self._watermarks.partitions}
        self._inference.announce_days(reader, ends)
        while self._open_days and self._is_complete(self._open_days[0], reader):
            self._close(self._open_days.popleft())
        self._metrics.set_backlog(buffered_rows=self._buffered, open_days=len(self._open_days))

    def flush(self) -> None:
        """Write the buffered rows and the positions after them in one transaction."""
        add_rows(self._builder, self._rows[TRANSACTIONS], self._rows[LABELS])
        self._writer.write(self._rows, self._positions)
        self._metrics.count_rows(self._rows, self._writer.bytes)
        log_rows(self._rows)
        self._rows.clear()
        self._oldest_seconds = None

    @property
    def _buffered(self) -> int:
        return sum(map(len, self._rows.values()))

    def _is_buffer_old(self) -> bool:
        if not self._buffered:
            return False
        now = self._now_seconds()
        if self._oldest_seconds is None:
            self._oldest_seconds = now
        return now - self._oldest_seconds >= FLUSH_SECONDS

    def _add_transaction(self, record: Record) -> None:
        transaction = admit(record, self._partitioning)
        self._rows[TRANSACTIONS].append(transaction_row(transaction, record.partition, record.offset))
        self._watermarks.add_transaction(record.partition, transaction.occurred_at)
        self._latest = transaction

    def _add_label(self, record: Record) -> None:
        label = decode(record.value, Label)
        self._rows[LABELS].append(label_row(label, record.partition, record.offset))

    def _add_decision(self, record: Record) -> None:
        self._rows[DECISIONS].append(decision_row(admit_decision(record)))

    def _add_progress(self, record: Record) -> None:
        event = decode_progress(record.value)
        require_known_partitions(event, self._watermarks.partitions)
        if isinstance(event, DayEmitted) and not self._is_known(event.day):
            self._require_existing_ends(event)
            self._open_days.append(event)
        self._inference.add(event)

    def _require_existing_ends(self, emitted: DayEmitted) -> None:
        """Raise `InvalidRecord` for ends beyond the log: the archive would wait for them and close no later day."""
        for topic, ends in ((TRANSACTIONS, emitted.transaction_ends), (LABELS, emitted.label_ends)):
            for partition, end in ends.items():
                if end > self._offsets.end(topic, int(partition)):
                    raise InvalidRecord(f"names the end {end} of {topic}[{partition}], which ends before")

    def _decided_up_to(self, partitions: Sequence[int]) -> Mapping[int, int]:
        return self._offsets.committed(TRANSACTIONS, partitions)

    def _is_known(self, day: date) -> bool:
        return day in self._writer.closed_days() or any(day == emitted.day for emitted in self._open_days)

    def _is_complete(self, emitted: DayEmitted, reader: LogReader) -> bool:
        if not self._has_read(TRANSACTIONS, emitted.transaction_ends, reader):
            return False
        if not self._has_read(LABELS, emitted.label_ends, reader):
            return False
        if not emitted.decided:
            return True
        ends = {int(partition): end for partition, end in emitted.transaction_ends.items()}
        decided = self._decided_up_to(list(ends))
        if any(decided.get(partition, 0) < end for partition, end in ends.items()):
            return False
        return all(reader.reached(DECISIONS, p) >= reader.end(DECISIONS, p) for p in ends)

    def _has_read(self, topic: str, ends: Mapping[str, int], reader: LogReader) -> bool:
        return all(
            max(reader.reached(topic, int(partition)), self._positions.get((topic, int(partition)), 0)) >= end
            for partition, end in ends.items()
        )

    def _close(self, emitted: DayEmitted) -> None:
        self.flush()
        close_day(
            emitted.day,
            self._writer,
            self._tables,
            self._builder,
            label_ends={int(partition): end for partition, end in emitted.label_ends.items()},
            announce=self._announce,
        )
        if self._latest is not None:
            self._example.write(self._latest)
        self._metrics.set_closed_day(emitted.day)
