"""Batches that Lambda gave up, sent once more: from the queue `abandoned` back into the stream.

A message there names a stretch of a shard, not its records, so they are read from the stream, for as long as it keeps
them, and put into it again behind everything else. Those that were decided before Lambda gave up are recognised as
repeats while their card has had fewer than 16 transactions since; the others are decided late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from adapters.aws.sqs import Queue
from cardwatch.errors import CardwatchError

Records = Sequence[tuple[str, bytes]]


class SequenceRange(Struct, rename="camel", frozen=True):
    """What Lambda says of a batch that it gave up."""

    shard_id: str
    start_sequence_number: str
    end_sequence_number: str
    batch_size: int


class _Abandoned(Struct, frozen=True):
    stretch: SequenceRange = msgspec.field(name="KinesisBatchInfo")


class RedriveResult(Struct):
    """What came of it. `expired`: records that the stream no longer had."""

    batches: int = 0
    records: int = 0
    expired: int = 0
    not_understood: int = 0


def redrive(queue: Queue, read: Callable[[SequenceRange], Records], write: Callable[[Records], None]) -> RedriveResult:
    """Send the records of every message again, then delete it. Killed in between, a batch is sent twice, not lost.

    A message that does not name a batch of Kinesis stays in the queue. Raises what `read` and `write` raise.
    """
    done = RedriveResult()
    for message in queue.receive():
        try:
            stretch = msgspec.json.decode(message.body, type=_Abandoned).stretch
        except msgspec.DecodeError:
            done.not_understood += 1
            continue
        records = read(stretch)
        write(records)
        queue.delete(message)
        done.batches += 1
        done.records += len(records)
        done.expired += max(stretch.batch_size - len(records), 0)
    return done


def require_all_sent(done: RedriveResult) -> None:
    """Raise `CardwatchError` if some could not be sent again."""
    wrong = []
    if done.expired:
        wrong.append(f"{done.expired:,} records were not in the stream any more: its retention is over")
    if done.not_understood:
        wrong.append(f"{done.not_understood:,} messages do not name a batch of Kinesis, and stay in the queue")
    if wrong:
        raise CardwatchError("; ".join(wrong))
