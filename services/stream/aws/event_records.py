"""The events of Lambda's event source mappings for Kinesis and for Kafka, and the response to them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cardwatch.records import Record
from cardwatch.topics import TRANSACTIONS

KAFKA: Final = "aws:kafka"
"""`eventSource` in the events of a mapping that reads MSK."""


class ShardRecord(NamedTuple):
    """One record of a shard. `sequence_number` grows within the shard and is the same for a redelivered record.

    `arrived_ms` is the wall clock at the arrival in the stream, in milliseconds since 1970.
    """

    sequence_number: int
    key: bytes
    value: bytes
    arrived_ms: int

    def as_record(self, shard: int, offset: int) -> Record:
        """Return the record of the log at an offset that the shard's counter gives."""
        return Record(TRANSACTIONS, shard, offset, self.arrived_ms, self.key, self.value)


def records_by_shard(event: Mapping[str, Any]) -> dict[int, list[ShardRecord]]:
    """Return the records of an event by shard, in the order of each shard.

    An event of Kinesis holds records of one shard. An event of Kafka holds records of several partitions, which stand
    for shards, and their offsets for sequence numbers.
    """
    if event.get("eventSource") == KAFKA:
        partitions = [records for records in event["records"].values() if records]
        return {records[0]["partition"]: [_from_kafka(record) for record in records] for records in partitions}
    shard_id, _, _ = event["Records"][0]["eventID"].partition(":")
    return {int(shard_id.rpartition("-")[2]): [_from_kinesis(record["kinesis"]) for record in event["Records"]]}


def _from_kinesis(record: Mapping[str, Any]) -> ShardRecord:
    return ShardRecord(
        sequence_number=int(record["sequenceNumber"]),
        key=record["partitionKey"].encode(),
        value=base64.b64decode(record["data"]),
        arrived_ms=int(record["approximateArrivalTimestamp"] * 1_000),
    )


def _from_kafka(record: Mapping[str, Any]) -> ShardRecord:
    return ShardRecord(
        sequence_number=record["offset"],
        key=base64.b64decode(record.get("key") or ""),
        value=base64.b64decode(record.get("value") or ""),
        arrived_ms=record["timestamp"],
    )


def partial_batch_response(sequence_numbers: Sequence[int]) -> dict[str, list[dict[str, str]]]:
    """Return the response after which Lambda redelivers all records from the lowest of these numbers on."""
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in sequence_numbers]}
