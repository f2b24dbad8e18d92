"""Redrive of batches that Lambda gave up: from the queue `abandoned` back into the stream.

A message in the queue names a range of a shard. The records are read from the stream, if its retention period has not
ended, and written to its end. Those that were decided before Lambda gave up are recognised as repeats if their card has
had fewer than 16 transactions since; the others are decided late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from adapters.aws.sqs import Queue
from cardwatch.errors import CardwatchError

Records = Sequence[tuple[str, bytes]]


class AbandonedBatch(Struct, rename="camel", frozen=True):
    """The range of a batch that Lambda gave up, as in Lambda's message."""

    shard_id: str
    start_sequence_number: str
    end_sequence_number: str
    batch_size: int


class _Message(Struct, frozen=True):
    batch: AbandonedBatch = msgspec.field(name="KinesisBatchInfo")


class RedriveResult(Struct):
    """Counts of one redrive. `expired` are records that the stream no longer has, `unreadable` are messages."""

    batches: int = 0
    records: int = 0
    expired: int = 0
    unreadable: int = 0


def redrive(queue: Queue, read: Callable[[AbandonedBatch], Records], write: Callable[[Records], None]) -> RedriveResult:
    """Write the records of every message to the stream, then delete the message.

    A crash in between sends a batch twice and loses none. A message that does not name a batch of Kinesis stays in the
    queue. Raises the errors of `read` and `write`.
    """
    result = RedriveResult()
    for message in queue.receive():
        try:
            batch = msgspec.json.decode(message.body, type=_Message).batch
        except msgspec.DecodeError:
            result.unreadable += 1
            continue
        records = read(batch)
        write(records)
        queue.delete(message)
        result.batches += 1
        result.records += len(records)
        result.expired += max(batch.batch_size - len(records), 0)
    return result


def require_all_sent(result: RedriveResult) -> None:
    """Raise `CardwatchError` if records or messages could not be sent again."""
    problems = []
    if result.expired:
        problems.append(f"{result.expired:,} records were not in the stream any more: its retention period has ended")
    if result.unreadable:
        problems.append(f"{result.unreadable:,} messages do not name a batch of Kinesis, and stay in the queue")
    if problems:
        raise CardwatchError("; ".join(problems))
