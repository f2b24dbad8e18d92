"""Kinesis -> Lambda: event source mappings that read their shards, each in a thread of its own.

How a batch is treated is said in `infra.moto.batches`. One invocation at a time for a shard; a parallelization factor
of more than one is taken for one.
"""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from moto.awslambda.models import EventSourceMapping, LambdaFunction, lambda_backends
from moto.core.utils import iso_8601_datetime_with_milliseconds, utcnow
from moto.kinesis.models import Record, Shard, Stream, kinesis_backends
from moto.sqs.models import sqs_backends

from infra.moto import batches
from infra.moto.added import added
from infra.moto.batches import FOREVER, Answer, Delivery, GivenUp, Rules
from infra.moto.functions import run

FIRST_NUMBER: Final = 49 * 10**54
"""Before the first one: sequence numbers have 56 digits, and those of a shard here are consecutive."""

_POLL_SECONDS: Final = 0.05
_MAX_PAUSE_SECONDS: Final = 1.0

_writing: Final = threading.Lock()


@added("kinesis", "PutRecord, PutRecords", Stream)
def put_record(stream: Stream, partition_key: str, explicit_hash_key: str, data: str) -> tuple[str, str]:
    """moto calls the functions of a stream once for each record, inside the caller's request, and swallows failures.

    Here a record is only stored: readers find it.
    """
    shard = stream.get_shard_for_key(partition_key, explicit_hash_key)
    if shard is None:
        raise ValueError(f"no shard of {stream.stream_name} has the partition key {partition_key!r}")
    return shard.put_record(partition_key, data, explicit_hash_key), shard.shard_id


@added("kinesis", "SequenceNumber", Shard, "put_record")
def number_record(shard: Shard, partition_key: str, data: str, explicit_hash_key: str) -> str:
    """moto counts 1, 2, 3. AWS's sequence numbers have 56 digits: code that keeps them in 64 bits must fail here."""
    with _writing:
        number = next(reversed(shard.records), FIRST_NUMBER) + 1
        shard.records[number] = Record(partition_key, data, number, explicit_hash_key)
    return str(number)


class Reader(threading.Thread):
    """Reads one shard for one mapping from `position` on, until it is told to stop."""

    def __init__(self, mapping: EventSourceMapping, stream: Stream, shard: Shard, position: int) -> None:
        super().__init__(name=f"{mapping.uuid}:{shard.shard_id}", daemon=True)
        self._mapping, self._stream, self._shard = mapping, stream, shard
        self.position = position
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop after the invocation that is under way."""
        self._stopping.set()

    def run(self) -> None:
        """Deliver what comes."""
        while not self._stopping.is_set():
            records = self._next_records()
            if not records:
                self._stopping.wait(_POLL_SECONDS)
            elif self._delivery().deliver(records):
                self.position = records[-1].sequence_number

    def _next_records(self) -> list[Record]:
        numbers = range(self.position + 1, self.position + 1 + self._mapping.batch_size)
        return [self._shard.records[number] for number in numbers if number in self._shard.records]

    def _delivery(self) -> Delivery:
        mapping = self._mapping
        rules = Rules(
            partial="ReportBatchItemFailures" in (mapping.function_response_types or []),
            bisect=bool(mapping.bisect_on_error),
            retries=FOREVER if mapping.max_retry_attempts is None else int(mapping.max_retry_attempts),
            age_seconds=FOREVER if mapping.max_record_age is None else int(mapping.max_record_age),
        )
        around = batches.Shard(
            invoke=self._invoke,
            sequence_of=lambda record: str(record.sequence_number),
            age_of=lambda record: (utcnow() - record.created_at_datetime).total_seconds(),
            pause=self._pause,
            give_up=self._give_up,
        )
        return Delivery(rules, around)

    def _invoke(self, records: Sequence[Record]) -> Answer:
        function = self._function()
        if function is None:
            return Answer("null", failed=True)
        outcome = run(function, {"Records": [self._event(record) for record in records]})
        return Answer(outcome.payload, outcome.failed, str(uuid.uuid4()))

    def _function(self) -> LambdaFunction | None:
        return lambda_backends[self._mapping.account_id][self._mapping.region].get_function_by_arn(
            self._mapping.function_arn
        )

    def _event(self, record: Record) -> dict[str, Any]:
        number = str(record.sequence_number)
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": number,
                "data": record.data if isinstance(record.data, str) else base64.b64encode(record.data).decode(),
                "approximateArrivalTimestamp": round(record.created_at, 3),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self._shard.shard_id}:{number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "",
            "awsRegion": self._mapping.region,
            "eventSourceARN": self._stream.arn,
        }

    def _pause(self, attempts: int) -> bool:
        return not self._stopping.wait(min(_MAX_PAUSE_SECONDS, _POLL_SECONDS * 2**attempts))

    def _give_up(self, given_up: GivenUp) -> None:
        destination = ((self._mapping.destination_config or {}).get("OnFailure") or {}).get("Destination", "")
        if destination.split(":")[2:3] != ["sqs"]:
            return
        *_, region, account, queue = destination.split(":")
        sqs_backends[account][region].send_message(queue, json.dumps(self._told(given_up)))

    def _told(self, given_up: GivenUp) -> dict[str, Any]:
        first, last = given_up.records[0], given_up.records[-1]
        error = {"functionError": "Unhandled"} if given_up.answer.failed else {}
        return {
            "requestContext": {
                "requestId": given_up.answer.request_id,
                "functionArn": self._mapping.function_arn,
                "condition": given_up.condition,
                "approximateInvokeCount": given_up.attempts,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", **error},
            "version": "1.0",
            "timestamp": iso_8601_datetime_with_milliseconds(utcnow()),
            "KinesisBatchInfo": {
                "shardId": self._shard.shard_id,
                "startSequenceNumber": str(first.sequence_number),
                "endSequenceNumber": str(last.sequence_number),
                "approximateArrivalOfFirstRecord": _arrival(first),
                "approximateArrivalOfLastRecord": _arrival(last),
                "batchSize": len(given_up.records),
                "streamArn": self._stream.arn,
            },
        }


class Readers(threading.Thread):
    """Starts and stops readers: each shard of each enabled mapping has one. A later one goes on where one stopped."""

    def __init__(self) -> None:
        super().__init__(name="event source mappings", daemon=True)
        self._readers: dict[str, Reader] = {}
        self._positions: dict[str, int] = {}

    def run(self) -> None:
        """Look again and again. Ends with the server."""
        while True:
            self.look()
            threading.Event().wait(_POLL_SECONDS)

    def look(self) -> None:
        """Bring the readers in line with the mappings that there are."""
        wanted = {f"{mapping.uuid}:{shard.shard_id}": (mapping, stream, shard) for mapping, stream, shard in _shards()}
        for name in self._readers.keys() - wanted.keys():
            reader = self._readers.pop(name)
            reader.stop()
            self._positions[name] = reader.position
        for name in wanted.keys() - self._readers.keys():
            mapping, stream, shard = wanted[name]
            reader = Reader(mapping, stream, shard, self._positions.get(name, _start(mapping, shard)))
            self._readers[name] = reader
            reader.start()


def _shards() -> Iterator[tuple[EventSourceMapping, Stream, Shard]]:
    for account in list(lambda_backends.values()):
        for backend in list(account.values()):
            for mapping in list(backend._event_source_mappings.values()):
                stream = _stream(mapping)
                if mapping.enabled and stream is not None:
                    yield from ((mapping, stream, shard) for shard in list(stream.shards.values()))


def _stream(mapping: EventSourceMapping) -> Stream | None:
    *_, service, region, account, resource = mapping.event_source_arn.split(":")
    if service != "kinesis":
        return None
    return kinesis_backends[account][region].streams.get(resource.removeprefix("stream/"))


def _start(mapping: EventSourceMapping, shard: Shard) -> int:
    """After which sequence number a new mapping begins."""
    if mapping.starting_position == "LATEST":
        return next(reversed(shard.records), FIRST_NUMBER)
    return FIRST_NUMBER


def _arrival(record: Record) -> str:
    return iso_8601_datetime_with_milliseconds(datetime.fromtimestamp(record.created_at, tz=UTC).replace(tzinfo=None))
