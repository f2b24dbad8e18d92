"""Simulated traffic for the system on AWS: transactions into its stream, labels into its bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from adapters.aws.object_keys import labels_key
from cardwatch.events import Transaction, encode
from cardwatch.simulation.simulation import Simulation

TICK_SECONDS: Final = 0.05
MAX_AT_ONCE: Final = 500
"""Maximum number of records in one request of Kinesis."""


WriteRecords = Callable[[Sequence[tuple[str, bytes]]], None]
"""Writes pairs of partition key and value into a stream, as `adapters.aws.kinesis.KinesisWriter.write` does."""


class SentCounts(Struct):
    """Counts of what has been sent so far."""

    transactions: int = 0
    labels: int = 0
    days: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Transactions per second so far."""
        return self.transactions / self.seconds if self.seconds else 0.0


class Traffic:
    """Sends simulated days, with each transaction keyed by its card.

    `put` writes one object, given by key and bytes, into the bucket. `sent` is up to date at any time, also after an
    error.
    """

    def __init__(
        self,
        world: Simulation,
        write: WriteRecords,
        put: Callable[[str, bytes], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sent = SentCounts()
        self._world, self._write, self._put = world, write, put
        self._clock, self._sleep = clock, sleep

    def send_day(self, number: int, *, rate_per_second: float | None) -> None:
        """Send day `number` evenly at this rate, or without a limit (None), and then its labels.

        A stream that is slower than the rate makes the day longer, and overdue transactions are sent immediately. The
        labels that became known on that day are one file named by its date; sending it again replaces it.
        """
        events = self._world.day(number)
        for due in self._due(events.transactions, rate_per_second):
            self._write([(transaction.card_id, encode(transaction)) for transaction in due])
            self.sent.transactions += len(due)
        self._put(labels_key(events.day), b"".join(encode(label) + b"\n" for label in events.labels))
        self.sent.labels += len(events.labels)
        self.sent.days += 1

    def _due(
        self, transactions: Sequence[Transaction], rate_per_second: float | None
    ) -> Iterator[Sequence[Transaction]]:
        start, earlier, sent = self._clock(), self.sent.seconds, 0
        while sent < len(transactions):
            elapsed = self._clock() - start
            by_now = sent + MAX_AT_ONCE if rate_per_second is None else int(elapsed * rate_per_second) + 1
            if by_now <= sent:
                self._sleep(TICK_SECONDS)
                continue
            due = transactions[sent : min(by_now, sent + MAX_AT_ONCE)]
            yield due
            sent += len(due)
            self.sent.seconds = earlier + self._clock() - start
