"""What has come into the bucket since the last archived day: objects of decisions, and the bank's files of labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

from adapters.aws.object_keys import DECISIONS_PREFIX, LABELS_PREFIX, decisions_key, shard_of, shard_prefix
from adapters.aws.s3 import CALLS_AT_ONCE, Bucket
from adapters.feature_store.layout import chunks
from cardwatch.errors import InvalidRecord
from cardwatch.events import Decision, Label, decode

log = logging.getLogger(__name__)

MAX_RECORDS_PER_BATCH: Final = 10_000
"""Records that an event source mapping hands over at once at the most, so the most offsets in an object."""
ROWS_AT_ONCE: Final = 50_000

_OBJECTS_AT_ONCE: Final = 64

T = TypeVar("T", Decision, Label)


class LabelFile(NamedTuple):
    """What is new in a file of labels, and its size with that: how far it has been read."""

    key: str
    read_up_to: int
    labels: list[Label]


def new_decisions(bucket: Bucket, positions: Mapping[int, int]) -> Iterator[list[Decision]]:
    """Decisions that may be new, some at a time, those of a lower shard first; some were delivered before.

    `positions`: per shard the offset after the newest that is known.
    """
    collected: list[Decision] = []
    with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="decisions") as threads:
        for some in chunks(_new_objects(bucket, positions), _OBJECTS_AT_ONCE):
            for key, content in zip(some, threads.map(bucket.get, some), strict=True):
                collected += _decoded(content, key, Decision)
            if len(collected) >= ROWS_AT_ONCE:
                yield collected
                collected = []
    if collected:
        yield collected


def new_labels(bucket: Bucket, read_up_to: Mapping[str, int]) -> Iterator[LabelFile]:
    """What is new in the files of labels, by key. `read_up_to`: per key how many bytes were read before.

    A file may grow. One that has become shorter is another file under an old name: it is passed over, and a log line
    says so.
    """
    for found in bucket.objects(LABELS_PREFIX):
        known = read_up_to.get(found.key, 0)
        if found.size < known:
            log.warning("%s is shorter than when it was read: deliver labels under a new name", found.key)
        if found.size <= known:
            continue
        content = bucket.get(found.key, first_byte=known)
        yield LabelFile(found.key, known + len(content), _decoded(content, found.key, Label))


def _new_objects(bucket: Bucket, positions: Mapping[int, int]) -> list[str]:
    """Keys, by shard and then by offset.

    Shards are listed from the highest number down: what a shard holds when it is listed, its parent has delivered
    before. Listed the other way, a card's newest decision might be seen and the one before it not.
    """
    shards = sorted(shard for name in bucket.folders(DECISIONS_PREFIX) if (shard := shard_of(name)) is not None)
    keys = {}
    for shard in reversed(shards):
        prefix = shard_prefix(shard)
        known = positions.get(shard, 0) - MAX_RECORDS_PER_BATCH
        keys[shard] = [
            found.key for found in bucket.objects(prefix, after=decisions_key(shard, known - 1) if known > 0 else "")
        ]
    return [key for shard in shards for key in keys[shard]]


def _decoded(content: bytes, key: str, kind: type[T]) -> list[T]:
    records: list[T] = []
    for line in filter(bytes.strip, content.splitlines()):
        try:
            records.append(decode(line, kind))
        except InvalidRecord as error:  # the object keeps its bytes
            log.warning("%s holds what is no %s: %s", key, kind.__name__.lower(), error)
    return records
