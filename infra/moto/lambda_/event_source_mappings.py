"""Event source mappings of Kinesis streams: each shard of a mapping is read in a thread.

`infra.moto.lambda_.batch_delivery` implements how a batch is delivered. Each shard has one invocation at a time: a
parallelization factor greater than one is ignored.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from moto.awslambda.models import EventSourceMapping, lambda_backends
from moto.core.utils import iso_8601_datetime_with_milliseconds, utcnow
from moto.kinesis.models import Record, Shard, Stream, kinesis_backends
from moto.sqs.models import sqs_backends

from infra.moto.kinesis import BEFORE_FIRST_SEQUENCE_NUMBER, newest_sequence_number
from infra.moto.lambda_.batch_delivery import UNLIMITED, BatchDelivery, ExhaustedBatch, FailureRules, ShardCallbacks
from infra.moto.lambda_.functions import run
from infra.moto.lambda_.runtime import InvocationResult

_POLL_SECONDS: Final = 0.05
_MAX_PAUSE_SECONDS: Final = 1.0


class ShardReader(threading.Thread):
    """Reads one shard for one mapping until it is stopped. `position` is the last delivered sequence number."""

    def __init__(self, mapping: EventSourceMapping, stream: Stream, shard: Shard, position: int) -> None:
        super().__init__(name=f"{mapping.uuid}:{shard.shard_id}", daemon=True)
        self._mapping, self._stream, self._shard = mapping, stream, shard
        self.position = position
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop after the running invocation."""
        self._stopping.set()

    def run(self) -> None:
        """Deliver records as they arrive."""
        while not self._stopping.is_set():
            records = self._next_records()
            if not records:
                self._stopping.wait(_POLL_SECONDS)
            elif self._delivery().deliver(records):
                self.position = records[-1].sequence_number

    def _next_records(self) -> list[Record]:
        numbers = range(self.position + 1, self.position + 1 + self._mapping.batch_size)
        return [self._shard.records[number] for number in numbers if number in self._shard.records]

    def _delivery(self) -> BatchDelivery:
        mapping = self._mapping
        rules = FailureRules(
            partial="ReportBatchItemFailures" in (mapping.function_response_types or []),
            bisect=bool(mapping.bisect_on_error),
            max_retries=UNLIMITED if mapping.max_retry_attempts is None else int(mapping.max_retry_attempts),
            max_age_seconds=UNLIMITED if mapping.max_record_age is None else int(mapping.max_record_age),
        )
        callbacks = ShardCallbacks(
            invoke=self._invoke,
            sequence_of=lambda record: str(record.sequence_number),
            age_of=lambda record: (utcnow() - record.created_at_datetime).total_seconds(),
            pause=self._pause,
            report_exhausted=self._report_exhausted,
        )
        return BatchDelivery(rules, callbacks)

    def _invoke(self, records: Sequence[Record]) -> InvocationResult:
        backend = lambda_backends[self._mapping.account_id][self._mapping.region]
        function = backend.get_function_by_arn(self._mapping.function_arn)
        if function is None:
            return InvocationResult("null", failed=True)
        return run(function, {"Records": [self._event(record) for record in records]})

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

    def _report_exhausted(self, batch: ExhaustedBatch) -> None:
        destination = ((self._mapping.destination_config or {}).get("OnFailure") or {}).get("Destination", "")
        if destination.split(":")[2:3] != ["sqs"]:
            return
        *_, region, account, queue = destination.split(":")
        sqs_backends[account][region].send_message(queue, json.dumps(self._exhausted_message(batch)))

    def _exhausted_message(self, batch: ExhaustedBatch) -> dict[str, Any]:
        first, last = batch.records[0], batch.records[-1]
        error = {"functionError": "Unhandled"} if batch.result.failed else {}
        return {
            "requestContext": {
                "requestId": batch.result.request_id,
                "functionArn": self._mapping.function_arn,
                "condition": batch.condition,
                "approximateInvokeCount": batch.attempts,
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
                "batchSize": len(batch.records),
                "streamArn": self._stream.arn,
            },
        }


class ShardReaders(threading.Thread):
    """Starts and stops the readers: one for each shard of each enabled mapping.

    The reader of a mapping that is enabled again continues at the position where the previous one stopped.
    """

    def __init__(self) -> None:
        super().__init__(name="event source mappings", daemon=True)
        self._readers: dict[str, ShardReader] = {}
        self._positions: dict[str, int] = {}

    def run(self) -> None:
        """Refresh the readers until the server exits."""
        while True:
            self.refresh()
            threading.Event().wait(_POLL_SECONDS)

    def refresh(self) -> None:
        """Start and stop readers so that they match the current mappings."""
        wanted = {f"{mapping.uuid}:{shard.shard_id}": (mapping, stream, shard) for mapping, stream, shard in _shards()}
        for name in self._readers.keys() - wanted.keys():
            reader = self._readers.pop(name)
            reader.stop()
            self._positions[name] = reader.position
        for name in wanted.keys() - self._readers.keys():
            mapping, stream, shard = wanted[name]
            reader = ShardReader(mapping, stream, shard, self._positions.get(name, _start_position(mapping, shard)))
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


def _start_position(mapping: EventSourceMapping, shard: Shard) -> int:
    """Return the sequence number after which a new mapping starts to read."""
    if mapping.starting_position == "LATEST":
        return newest_sequence_number(shard)
    return BEFORE_FIRST_SEQUENCE_NUMBER


def _arrival(record: Record) -> str:
    return iso_8601_datetime_with_milliseconds(datetime.fromtimestamp(record.created_at, tz=UTC).replace(tzinfo=None))
