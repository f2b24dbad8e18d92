"""The log: Apache Kafka through confluent-kafka. Every reader here uses `read_committed`.

Here is what follows topics by explicit positions (archive, monitor, generator, tests), and what writes them. The stream
worker's side, with its group and its transactions, is `adapters.kafka.transactional_log`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from adapters.runtime.retry import retry
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured, Superseded
from cardwatch.progress import Progress, decode_progress
from cardwatch.records import Record
from cardwatch.topics import PROGRESS

_TIMEOUT_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.05
_COORDINATOR_MOVES: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)

T = TypeVar("T")


class Outgoing(NamedTuple):
    """A record to be written to a partition of our choice."""

    topic: str
    partition: int
    key: bytes
    value: bytes


def broker_error(error: KafkaException, doing: str) -> CardwatchError:
    """Our error for one of Kafka's: unavailable, superseded, or misconfigured."""
    cause: KafkaError = error.args[0]
    if cause.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
        return Superseded(f"{doing}: another worker has taken over ({cause.str()})")
    if cause.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return Misconfigured(f"{doing}: {cause.str()}; the topics are made by `cardwatch kafka` or `make demo`")
    return BrokerUnavailable(
        f"{doing}: {cause.str()}; is a broker running at the address in CARDWATCH_KAFKA_BOOTSTRAP?"
    )


def commit_offsets(bootstrap: str, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Set the position of a group that has no members, for a first start."""
    consumer = Consumer({**reading(bootstrap), "group.id": group})
    positions = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    try:
        _with_coordinator(
            lambda: consumer.commit(offsets=positions, asynchronous=False), f"committing offsets of {group}"
        )
    finally:
        consumer.close()


class LogWriter:
    """An idempotent producer for sources: generator, progress, tests. Records of one key stay in order.

    A `patient` one keeps its records for a broker that is away, however long that is; else they are given up after five
    minutes.
    """

    def __init__(self, bootstrap: str, *, patient: bool = False) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0 if patient else 300_000,  # 0: never
                "partitioner": "murmur2_random",  # what Kafka's own Java client does
                "linger.ms": 2,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 500_000,
                "log_level": 0,
            }
        )
        self._failure: KafkaError | None = None
        self.taken = 0

    def write(self, topic: str, key: str, value: bytes) -> None:
        """Queue a record; it is sure to be in the log only after `flush`."""
        while True:
            try:
                self._producer.produce(topic, value, key.encode(), on_delivery=self._delivered)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until everything written is in the log; raises `BrokerUnavailable` if something is not."""
        left = self._producer.flush(timeout_seconds)
        if self._failure is not None:
            raise BrokerUnavailable(f"a record could not be written: {self._failure.str()}")
        if left:
            raise BrokerUnavailable(f"{left} records were not taken by the broker within {timeout_seconds:g} s")

    def write_progress(self, record: Progress) -> None:
        """Queue a record of the topic `progress`."""
        self.write(PROGRESS, PROGRESS, msgspec.json.encode(record))

    @property
    def has_lost(self) -> bool:
        """Whether a record was given up, so that waiting longer is of no use."""
        return self._failure is not None

    @property
    def waiting(self) -> int:
        """How many records have been written and not been taken by the broker yet; `taken` counts those that have."""
        return len(self._producer)

    def close(self) -> None:
        """Give up what the broker has not taken: it cannot come after what somebody else writes."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failure = self._failure or error
        self.taken += error is None


class ProgressWriter:
    """Writes the topic `progress`, one record at a time, each sure to be there when `write` returns."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._writer = LogWriter(bootstrap)

    def write(self, record: Progress) -> None:
        """Put one record on the topic and wait until it is there; if that fails, it may be written again."""
        try:
            self._writer.write_progress(record)
            self._writer.flush()
        except BrokerUnavailable:
            self._writer.close()  # else the record might come later as well, when it has been written again
            self._writer = LogWriter(self._bootstrap)
            raise


def publish_progress(bootstrap: str, record: Progress) -> None:
    """Put a single record on the topic `progress`."""
    ProgressWriter(bootstrap).write(record)


class LogInquiry:
    """Asks where topics end and what a group has committed, on a connection of its own.

    A reader's own connection would answer only after its pending fetch, half a second later.
    """

    def __init__(self, bootstrap: str, group: str = "cardwatch-inquiry") -> None:
        self._consumer = Consumer({**reading(bootstrap), "group.id": group})

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The group's committed offset per partition; partitions without one are left out."""
        return committed_offsets(self._consumer, topic, partitions)

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record of the partition now, control records included."""
        try:
            return int(self._consumer.get_watermark_offsets(TopicPartition(topic, partition), _TIMEOUT_SECONDS)[1])
        except KafkaException as error:
            raise broker_error(error, f"asking for the end of {topic}[{partition}]") from error

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


class LogReader:
    """Follows partitions from given positions. It belongs to no group and commits nothing."""

    def __init__(self, bootstrap: str, positions: Mapping[tuple[str, int], int]) -> None:
        self._consumer = Consumer({**reading(bootstrap), "group.id": "cardwatch-reader", "enable.partition.eof": True})
        self._inquiry = LogInquiry(bootstrap)
        self._ends = dict(positions)
        self._consumer.assign([TopicPartition(t, p, o or OFFSET_BEGINNING) for (t, p), o in positions.items()])

    def __enter__(self) -> LogReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
        self._inquiry.close()

    def poll(self, timeout_seconds: float, *, most: int = 10_000) -> list[Record]:
        """What has come, in order per partition; waits for the first record at most `timeout_seconds`."""
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(most - 1, timeout=0)]
        return [record for message in messages if (record := self._take(message)) is not None]

    def reached(self, topic: str, partition: int) -> int:
        """The offset up to which everything committed has been read, here or before, control records included."""
        return self._ends.get((topic, partition), 0)

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record of the partition now."""
        return self._inquiry.end(topic, partition)

    def behind(self, topic: str) -> int:
        """How many records of the topic are not read yet, as of the newest fetch, without asking; markers count too."""
        places = [place for place in self._consumer.assignment() if place.topic == topic]
        ends = [(place, self._consumer.get_watermark_offsets(place, cached=True)[1]) for place in places]
        return sum(max(end - self._ends.get((topic, place.partition), 0), 0) for place, end in ends if end >= 0)

    def _take(self, message: Message) -> Record | None:
        place = (message.topic(), message.partition())
        error = message.error()
        if error is None:
            self._ends[place] = message.offset() + 1
            return to_record(message)
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[place] = max(self._ends.get(place, 0), message.offset())
            return None
        if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            return None
        raise broker_error(KafkaException(error), "reading the log")


class ProgressReader:
    """Follows the topic `progress` from its beginning."""

    def __init__(self, bootstrap: str) -> None:
        self._reader = LogReader(bootstrap, {(PROGRESS, 0): 0})
        self._waiting: list[Progress] = []

    def poll(self, timeout_seconds: float) -> Progress | None:
        """The next record, or None if none has come in time."""
        if not self._waiting:
            self._waiting = [decode_progress(record.value) for record in self._reader.poll(timeout_seconds)]
        return self._waiting.pop(0) if self._waiting else None

    def caught_up(self) -> bool:
        """Whether everything that is in the topic now has been returned by `poll`."""
        return not self._waiting and self._reader.reached(PROGRESS, 0) >= self._reader.end(PROGRESS, 0)

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()


def reading(bootstrap: str) -> dict[str, Any]:
    """How every consumer here reads."""
    return {
        "bootstrap.servers": bootstrap,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "log_level": 0,
    }


def committed_offsets(consumer: Consumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """What the consumer's group has committed, per partition; partitions without a commit are left out."""
    places = [TopicPartition(topic, partition) for partition in partitions]
    found = _with_coordinator(lambda: consumer.committed(places, _TIMEOUT_SECONDS), "asking for committed offsets")
    return {place.partition: place.offset for place in found if place.offset >= 0}


def _with_coordinator(request: Callable[[], T], doing: str) -> T:
    """Return the result of `request`, which is retried while the group's coordinator is being elected or moved.

    librdkafka passes these errors on instead of waiting, above all shortly after a broker's start.
    """
    try:
        return retry(
            request, timeout_seconds=_TIMEOUT_SECONDS, retry_seconds=_RETRY_SECONDS, is_transient=_coordinator_moves
        )
    except KafkaException as error:
        raise broker_error(error, doing) from error


def _coordinator_moves(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _COORDINATOR_MOVES


def to_record(message: Message) -> Record:
    """A message of the client as ours."""
    kind, timestamp_ms = message.timestamp()
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        message.key(),
        message.value(),
    )
