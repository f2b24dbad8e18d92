"""What Lambda hands over, records of Kinesis or of Kafka, and what it wants to hear of those that failed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cardwatch.records import Record
from cardwatch.topics import TRANSACTIONS

KAFKA: Final = "aws:kafka"
"""The event source of a mapping that reads MSK."""


class Arrival(NamedTuple):
    """One record of a shard. `sequence_number` grows within the shard, and is the same when the record comes again."""

    sequence_number: int
    key: bytes
    value: bytes
    arrived_ms: int

    def as_record(self, shard: int, offset: int) -> Record:
        """As a record of the log, at an offset of ours."""
        return Record(TRANSACTIONS, shard, offset, self.arrived_ms, self.key, self.value)


def batches_of(event: Mapping[str, Any]) -> dict[int, list[Arrival]]:
    """The records of an event by shard, in the order of each: one shard of Kinesis, or partitions of a Kafka topic.

    What a sequence number is to a shard, an offset is to a partition.
    """
    if event.get("eventSource") == KAFKA:
        return {
            records[0]["partition"]: [_from_kafka(record) for record in records] for records in _by_partition(event)
        }
    shard_id, _, _ = event["Records"][0]["eventID"].partition(":")
    return {int(shard_id.rpartition("-")[2]): [_from_kinesis(record["kinesis"]) for record in event["Records"]]}


def _by_partition(event: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    return [records for records in event["records"].values() if records]


def _from_kinesis(record: Mapping[str, Any]) -> Arrival:
    return Arrival(
        sequence_number=int(record["sequenceNumber"]),
        key=record["partitionKey"].encode(),
        value=base64.b64decode(record["data"]),
        arrived_ms=int(record["approximateArrivalTimestamp"] * 1_000),
    )


def _from_kafka(record: Mapping[str, Any]) -> Arrival:
    return Arrival(
        sequence_number=record["offset"],
        key=base64.b64decode(record.get("key") or ""),
        value=base64.b64decode(record.get("value") or ""),
        arrived_ms=record["timestamp"],
    )


def failures(sequence_numbers: Sequence[int]) -> dict[str, list[dict[str, str]]]:
    """The answer to Lambda: it delivers again from the lowest of these on."""
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in sequence_numbers]}
