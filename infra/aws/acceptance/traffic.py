"""Traffic for the system on AWS: the simulated world's transactions into its stream, its labels into its bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from msgspec import Struct

from adapters.aws.object_keys import labels_key
from cardwatch.events import Label, Transaction, encode
from cardwatch.simulation.simulation import Simulation

TICK_SECONDS: Final = 0.05
MAX_AT_ONCE: Final = 500
"""As many as one request takes."""


class RecordWriter(Protocol):
    """A stream, see `adapters.aws.kinesis.KinesisWriter`."""

    resent: int

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Put (partition key, value) pairs."""
        ...


class SentCounts(Struct):
    """What has been sent so far."""

    transactions: int = 0
    labels: int = 0
    days: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Transactions a second, up to now."""
        return self.transactions / self.seconds if self.seconds else 0.0


class Traffic:
    """Sends days of a world, each transaction keyed by its card.

    `put` writes one object into the bucket: its key and its bytes. `sent` is right at any time, whatever ends the
    sending. `clock` and `pause` are those of the machine if not said otherwise.
    """

    def __init__(
        self,
        world: Simulation,
        writer: RecordWriter,
        put: Callable[[str, bytes], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sent = SentCounts()
        self._world, self._writer, self._put = world, writer, put
        self._clock, self._pause = clock, pause

    def send_day(self, number: int, *, rate_per_second: float | None) -> None:
        """Send day `number`, evenly at this rate or as fast as the stream takes it (None), and then its labels.

        A stream that takes less than the rate makes the day longer; what was due meanwhile is sent at once. The labels
        are what was learned on that day, as one file that carries its date: sent again, it replaces itself.
        """
        events = self._world.day(number)
        for due in self._due(events.transactions, rate_per_second):
            self._writer.write([(transaction.card_id, encode(transaction)) for transaction in due])
            self.sent.transactions += len(due)
        self._put(labels_key(events.day), json_lines(events.labels))
        self.sent.labels += len(events.labels)
        self.sent.days += 1

    def _due(
        self, transactions: Sequence[Transaction], rate_per_second: float | None
    ) -> Iterator[Sequence[Transaction]]:
        start, before, sent = self._clock(), self.sent.seconds, 0
        while sent < len(transactions):
            passed = self._clock() - start
            by_now = sent + MAX_AT_ONCE if rate_per_second is None else int(passed * rate_per_second) + 1
            if by_now <= sent:
                self._pause(TICK_SECONDS)
                continue
            due = transactions[sent : min(by_now, sent + MAX_AT_ONCE)]
            yield due
            sent += len(due)
            self.sent.seconds = before + self._clock() - start


def json_lines(labels: Sequence[Label]) -> bytes:
    """One label a line."""
    return b"".join(encode(label) + b"\n" for label in labels)
