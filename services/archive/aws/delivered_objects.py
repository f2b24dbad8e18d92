"""Objects delivered to the bucket since the last archived day: decisions, and the bank's label files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

from adapters.aws.object_keys import DECISIONS_PREFIX, LABELS_PREFIX, decisions_key, shard_of, shard_prefix
from adapters.aws.s3 import CONCURRENT_CALLS, Bucket
from adapters.feature_store.layout import chunks
from cardwatch.errors import InvalidRecord
from cardwatch.events import Decision, Label, decode

log = logging.getLogger(__name__)

MAX_RECORDS_PER_BATCH: Final = 10_000
"""Maximum batch size of an event source mapping, so the maximum number of offsets in an object."""
MAX_ROWS_IN_MEMORY: Final = 50_000
"""Number of decisions from which a batch is yielded. It bounds the memory of the job."""

_OBJECTS_PER_CHUNK: Final = 64

T = TypeVar("T", Decision, Label)


class LabelFile(NamedTuple):
    """New labels of a file, and the number of bytes read including them."""

    key: str
    read_up_to: int
    labels: list[Label]


def new_decisions(bucket: Bucket, positions: Mapping[int, int]) -> Iterator[list[Decision]]:
    """Yield batches of decisions, lower shards first; some of them may be known already.

    `positions`: per shard the offset after the newest known decision.
    """
    collected: list[Decision] = []
    with ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="decisions") as threads:
        for keys in chunks(_new_objects(bucket, positions), _OBJECTS_PER_CHUNK):
            for key, content in zip(keys, threads.map(bucket.get, keys), strict=True):
                collected += _decoded(content, key, Decision)
            if len(collected) >= MAX_ROWS_IN_MEMORY:
                yield collected
                collected = []
    if collected:
        yield collected


def new_labels(bucket: Bucket, read_up_to: Mapping[str, int]) -> Iterator[LabelFile]:
    """Yield the new labels of each file, by key. `read_up_to`: per key the number of bytes read before.

    A file may grow. A file that has become shorter is a different file under an old name: it is skipped with a warning.
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
    """Return keys by shard and then by offset.

    Shards are listed from the highest number down, because a parent delivers all its decisions before its child. In
    the opposite order, a card's newest decision might be listed and the one before it missed.
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
            log.warning("%s holds a line that is no %s: %s", key, kind.__name__.lower(), error)
    return records
