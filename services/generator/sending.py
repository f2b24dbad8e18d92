"""Events of the world into the log, keyed by card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.kafka import LABELS, TRANSACTIONS, LogWriter, ProgressWriter
from adapters.kafka_admin import end_offsets
from cardwatch.events import Transaction, encode
from cardwatch.progress import DayEmitted, Progress
from cardwatch.world.world import EventsOfDay


class Source:
    """Writes transactions and labels; the only one that does."""

    def __init__(self, bootstrap: str) -> None:
        self._writer = LogWriter(bootstrap)
        self._progress = ProgressWriter(bootstrap)
        self._bootstrap: Final = bootstrap

    def send(self, transactions: Sequence[Transaction]) -> None:
        """Queue transactions for the log."""
        for transaction in transactions:
            self._writer.write(TRANSACTIONS, transaction.card_id, encode(transaction))

    def send_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send a whole day; once it is in the log, say where it ends in each partition."""
        self.send(events.transactions)
        for label in events.labels:
            self._writer.write(LABELS, label.card_id, encode(label))
        self.announce(
            DayEmitted(day=events.day, transaction_ends=self.ends(), label_ends=self._ends(LABELS), decided=decided)
        )

    def ends(self) -> dict[str, int]:
        """Per partition, the offset after the last transaction, once all that was sent is in the log."""
        return self._ends(TRANSACTIONS)

    def announce(self, record: Progress) -> None:
        """Put a record on the topic `progress`."""
        self._progress.write(record)

    def _ends(self, topic: str) -> dict[str, int]:
        self._writer.flush()
        return {str(partition): end for partition, end in end_offsets(self._bootstrap, topic).items()}
