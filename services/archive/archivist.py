"""The archive service: topics to Parquet and index, days closed in order, one reference table at the end of each.

A day is closed when every partition has passed it: all its transactions and labels are read, the stream worker has
committed all of its transactions, and every decision that was committed by then is read too.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol

from adapters.archive_writer import ArchiveWriter, Row, decision_row, label_row, transaction_row
from adapters.kafka import DECISIONS, LABELS, PROGRESS, TRANSACTIONS, Record
from adapters.table_store import TableStore
from cardwatch.errors import InvalidRecord
from cardwatch.events import Decision, Label, Transaction, decode
from cardwatch.features.reference import ReferenceBuilder
from cardwatch.progress import DayArchived, DayEmitted, decode_progress
from services.archive.feeding import feed

log = logging.getLogger(__name__)

FLUSH_ROWS: Final = 50_000


class Log(Protocol):
    """What the archivist asks of the log, see `adapters.kafka.LogReader`."""

    def reached(self, topic: str, partition: int) -> int:
        """The offset up to which everything committed has been read."""
        ...

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record now."""
        ...


class Archivist:
    """Turns records into archive rows and closes days.

    `builder` holds what earlier runs archived. `decided_up_to` asks for the stream worker's committed offsets,
    `announce` puts a closed day on the topic `progress`.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        tables: TableStore,
        builder: ReferenceBuilder,
        *,
        decided_up_to: Callable[[Sequence[int]], Mapping[int, int]],
        announce: Callable[[DayArchived], None],
    ) -> None:
        self._writer, self._tables, self._builder = writer, tables, builder
        self._decided_up_to, self._announce = decided_up_to, announce
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._positions: dict[tuple[str, int], int] = writer.positions()
        self._open_days: deque[DayEmitted] = deque()

    def take(self, records: Sequence[Record]) -> None:
        """Buffer records; large buffers are written at once."""
        readers = {TRANSACTIONS: self._take_transaction, LABELS: self._take_label, DECISIONS: self._take_decision}
        for record in records:
            if record.topic == PROGRESS:
                self._take_progress(record)
                continue
            try:
                readers[record.topic](record)
            except InvalidRecord as error:  # the stream worker has made it a dead letter, with its bytes
                log.warning("%s[%d] %d: %s", record.topic, record.partition, record.offset, error)
            self._positions[record.topic, record.partition] = record.offset + 1
        if sum(map(len, self._rows.values())) >= FLUSH_ROWS:
            self.flush()

    def close_days(self, topic_log: Log) -> None:
        """Close every day that is complete by now, oldest first."""
        while self._open_days and self._is_complete(self._open_days[0], topic_log):
            self._close(self._open_days.popleft())

    def flush(self) -> None:
        """Write what is buffered, and the positions it brings us to, in one step."""
        feed(self._builder, self._rows[TRANSACTIONS], self._rows[LABELS])
        self._writer.write(self._rows, self._positions)
        self._rows.clear()

    def _take_transaction(self, record: Record) -> None:
        transaction = decode(record.value, Transaction)
        self._rows[TRANSACTIONS].append(transaction_row(transaction, record.partition, record.offset))

    def _take_label(self, record: Record) -> None:
        label = decode(record.value, Label)
        self._rows[LABELS].append(label_row(label, record.partition, record.offset))

    def _take_decision(self, record: Record) -> None:
        self._rows[DECISIONS].append(decision_row(decode(record.value, Decision)))

    def _take_progress(self, record: Record) -> None:
        event = decode_progress(record.value)
        if isinstance(event, DayEmitted) and event.day not in self._writer.closed_days():
            self._open_days.append(event)

    def _is_complete(self, emitted: DayEmitted, topic_log: Log) -> bool:
        if not self._has_read(TRANSACTIONS, emitted.transaction_ends, topic_log):
            return False
        if not self._has_read(LABELS, emitted.label_ends, topic_log):
            return False
        if not emitted.decided:
            return True
        ends = {int(partition): end for partition, end in emitted.transaction_ends.items()}
        decided = self._decided_up_to(list(ends))
        if any(decided.get(partition, 0) < end for partition, end in ends.items()):
            return False
        return all(topic_log.reached(DECISIONS, p) >= topic_log.end(DECISIONS, p) for p in ends)

    def _has_read(self, topic: str, ends: Mapping[str, int], topic_log: Log) -> bool:
        return all(
            max(topic_log.reached(topic, int(partition)), self._positions.get((topic, int(partition)), 0)) >= end
            for partition, end in ends.items()
        )

    def _close(self, emitted: DayEmitted) -> None:
        self.flush()
        for partition, end in emitted.label_ends.items():
            self._builder.saw_labels_up_to(int(partition), end)
        table = self._builder.build(emitted.day + timedelta(days=1))
        self._tables.put(table)
        self._announce(  # before the day is recorded as closed: after a crash a second time rather than never
            DayArchived(
                day=emitted.day,
                transactions=self._writer.count(TRANSACTIONS, emitted.day),
                decisions=self._writer.count(DECISIONS, emitted.day),
                labels=self._writer.count(LABELS, emitted.day),
                table_id=table.table_id,
            )
        )
        self._writer.close_day(emitted.day, table.table_id)
