"""The archive service: topics to Parquet and index, days closed in order, one reference table at the end of each.

A day is closed when every partition has passed it: all its transactions and labels are read, the stream worker has
committed all of its transactions, and every decision that was committed by then is read too. Where a day ends, its
source says, or `services.archive.watermarks`.

Closing takes four steps: build the table, store it, announce it, record the day as closed. After a crash between two of
them the day is closed again; a table that was stored is taken as it is, whatever has been read since, for a worker may
have used it. So a day has one table, and what comes late changes the next one.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from time import monotonic
from typing import Final

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, Row, decision_row, label_row, transaction_row
from cardwatch.errors import InvalidRecord
from cardwatch.events import Decision, Label, Transaction, decode
from cardwatch.features.reference_table import ReferenceBuilder, ReferenceTable
from cardwatch.progress import DayArchived, DayEmitted, Progress, decode_progress
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from services.archive.day_inference import DayInference, Log
from services.archive.metrics import ArchiveMetrics
from services.archive.reference_feed import feed
from services.archive.row_log import tell
from services.archive.watermarks import Watermarks

log = logging.getLogger(__name__)

FLUSH_ROWS: Final = 50_000
FLUSH_SECONDS: Final = 900.0
"""So long at most a row waits, else a slow stream would be archived once a day. That makes up to 96 files of each kind
for a day. To open one costs 1.5 ms: with one a minute, three months would take three minutes to read, and half of one
so."""


class Archiver:
    """Turns records into archive rows and closes days.

    `builder` and `watermarks` hold what earlier runs archived. `decided_up_to` asks for the stream worker's committed
    offsets, `announce` puts the end of a day and a closed day on the topic `progress`. `now_seconds` is a clock that
    does not go backwards.

    Every method may raise what is retriable. Then it is over with this archivist: what it had buffered is read again,
    from the written positions, by the next.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        tables: ReferenceTableStore,
        builder: ReferenceBuilder,
        watermarks: Watermarks,
        *,
        decided_up_to: Callable[[Sequence[int]], Mapping[int, int]],
        announce: Callable[[Progress], None],
        metrics: ArchiveMetrics,
        now_seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._writer, self._tables, self._builder, self._watermarks = writer, tables, builder, watermarks
        self._metrics, self._now_seconds = metrics, now_seconds
        self._oldest_seconds: float | None = None
        self._decided_up_to, self._announce = decided_up_to, announce
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._positions: dict[tuple[str, int], int] = writer.positions()
        self._open_days: deque[DayEmitted] = deque()
        self._inference = DayInference(
            watermarks, max(writer.closed_days(), default=None), decided_up_to=decided_up_to, announce=announce
        )

    def take(self, records: Sequence[Record]) -> None:
        """Buffer records, and write the buffer when it is large or old; to be called with nothing as well."""
        readers = {
            TRANSACTIONS: self._take_transaction,
            LABELS: self._take_label,
            DECISIONS: self._take_decision,
            PROGRESS: self._take_progress,
        }
        for record in records:
            try:
                readers[record.topic](record)
            except InvalidRecord as error:  # the stream worker has made it a dead letter, with its bytes
                log.warning("%s[%d] %d: %s", record.topic, record.partition, record.offset, error)
            if record.topic != PROGRESS:  # that one is read from its beginning at every start
                self._positions[record.topic, record.partition] = record.offset + 1
        if self._buffered >= FLUSH_ROWS or self._has_waited():
            self.flush()

    def close_days(self, topic_log: Log) -> None:
        """Close every day that is complete by now, in the order in which their ends were announced."""
        ends = {p: self._positions.get((TRANSACTIONS, p), 0) for p in self._watermarks.partitions}
        self._inference.announce_days(topic_log, ends)
        while self._open_days and self._is_complete(self._open_days[0], topic_log):
            self._close(self._open_days.popleft())
        self._metrics.waits(buffered_rows=self._buffered, open_days=len(self._open_days))

    def flush(self) -> None:
        """Write what is buffered, and the positions it brings us to, in one step."""
        feed(self._builder, self._rows[TRANSACTIONS], self._rows[LABELS])
        self._writer.write(self._rows, self._positions)
        self._metrics.wrote(self._rows, self._writer.bytes)
        tell(self._rows)
        self._rows.clear()
        self._oldest_seconds = None

    @property
    def _buffered(self) -> int:
        return sum(map(len, self._rows.values()))

    def _has_waited(self) -> bool:
        if not self._buffered:
            return False
        now = self._now_seconds()
        if self._oldest_seconds is None:
            self._oldest_seconds = now
        return now - self._oldest_seconds >= FLUSH_SECONDS

    def _take_transaction(self, record: Record) -> None:
        transaction = decode(record.value, Transaction)
        if record.key != transaction.card_id.encode():  # the stream worker does not fold it: no replay may either
            raise InvalidRecord("the record's key is not its card_id", field="$.card_id")
        self._rows[TRANSACTIONS].append(transaction_row(transaction, record.partition, record.offset))
        self._watermarks.saw(record.partition, transaction.occurred_at)

    def _take_label(self, record: Record) -> None:
        label = decode(record.value, Label)
        self._rows[LABELS].append(label_row(label, record.partition, record.offset))

    def _take_decision(self, record: Record) -> None:
        self._rows[DECISIONS].append(decision_row(decode(record.value, Decision)))

    def _take_progress(self, record: Record) -> None:
        event = decode_progress(record.value)
        self._inference.take(event)
        if isinstance(event, DayEmitted) and not self._is_known(event.day):
            self._open_days.append(event)

    def _is_known(self, day: date) -> bool:
        return day in self._writer.closed_days() or any(day == emitted.day for emitted in self._open_days)

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
        table = self._stored_table(emitted)
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
        self._metrics.closed(emitted.day)

    def _stored_table(self, emitted: DayEmitted) -> ReferenceTable:
        tomorrow = emitted.day + timedelta(days=1)
        stored = self._tables.of_day(tomorrow)
        if stored is not None:
            return stored
        for partition, end in emitted.label_ends.items():
            self._builder.saw_labels_up_to(int(partition), end)
        table = self._builder.build(tomorrow)
        self._tables.put(table)
        return table
