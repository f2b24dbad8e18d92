"""What Lambda hands over: an event of one shard's records, and what it wants to hear of those that failed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from adapters.records import Record

TRANSACTIONS: Final = "transactions"


class Arrival(NamedTuple):
    """One record of a Kinesis shard. `sequence_number` grows within the shard, and is the same when it comes again."""

    sequence_number: int
    key: bytes
    value: bytes
    arrived_ms: int

    def as_record(self, shard: int, offset: int) -> Record:
        """As a record of the log, at an offset of ours."""
        return Record(TRANSACTIONS, shard, offset, self.arrived_ms, self.key, self.value)


def shard_of(event: Mapping[str, Any]) -> int:
    """The number of the shard that all records of the event are from."""
    shard_id, _, _ = event["Records"][0]["eventID"].partition(":")
    return int(shard_id.rpartition("-")[2])


def arrivals_of(event: Mapping[str, Any]) -> list[Arrival]:
    """The records of the event, in the order of the shard."""
    return [
        Arrival(
            sequence_number=int(of_one["sequenceNumber"]),
            key=of_one["partitionKey"].encode(),
            value=base64.b64decode(of_one["data"]),
            arrived_ms=int(of_one["approximateArrivalTimestamp"] * 1_000),
        )
        for of_one in (record["kinesis"] for record in event["Records"])
    ]


def failures(sequence_numbers: Sequence[int]) -> dict[str, list[dict[str, str]]]:
    """The answer to Lambda: it delivers again from the lowest of these on."""
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in sequence_numbers]}
