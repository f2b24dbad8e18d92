"""Amazon Kinesis: records with sequence numbers as long as AWS's, and tags of streams."""

from __future__ import annotations

import threading
from typing import Final

from moto.core.responses import ActionResult
from moto.kinesis.models import Record, Shard, Stream
from moto.kinesis.responses import KinesisResponse

from infra.moto.patching import patch

BEFORE_FIRST_SEQUENCE_NUMBER: Final = 49 * 10**54
"""One less than the first sequence number of a shard. Numbers have 56 digits as on AWS, and are consecutive here."""

_put_lock: Final = threading.Lock()

_create_stream = KinesisResponse.create_stream


@patch("kinesis", "CreateStream with tags", KinesisResponse)
def create_stream(response: KinesisResponse) -> ActionResult:
    """moto does not store the tags of a new stream."""
    action_result = _create_stream(response)
    if tags := response._get_param("Tags"):
        response.kinesis_backend.add_tags_to_stream(None, response._get_param("StreamName"), tags)
    return action_result


@patch("kinesis", "PutRecord, PutRecords", Stream)
def put_record(stream: Stream, partition_key: str, explicit_hash_key: str, data: str) -> tuple[str, str]:
    """moto invokes the stream's functions once per record, inside the producer's request, and ignores their failures.

    Here a record is only stored. The readers of event source mappings deliver it.
    """
    shard = stream.get_shard_for_key(partition_key, explicit_hash_key)
    if shard is None:
        raise ValueError(f"no shard of {stream.stream_name} has the partition key {partition_key!r}")
    return shard.put_record(partition_key, data, explicit_hash_key), shard.shard_id


@patch("kinesis", "SequenceNumber", Shard, "put_record")
def put_shard_record(shard: Shard, partition_key: str, data: str, explicit_hash_key: str) -> str:
    """moto counts 1, 2, 3. AWS's sequence numbers have 56 digits: code that keeps them in 64 bits must fail here."""
    with _put_lock:
        number = newest_sequence_number(shard) + 1
        shard.records[number] = Record(partition_key, data, number, explicit_hash_key)
    return str(number)


def newest_sequence_number(shard: Shard) -> int:
    """Return the sequence number of the newest record, or the number before the first one if there is no record."""
    return next(reversed(shard.records), BEFORE_FIRST_SEQUENCE_NUMBER)
