"""Kinesis streams: batched writes, and reads from every shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from adapters.aws.clients import aws_client, translated_errors
from adapters.runtime.retry import resend
from cardwatch.errors import InvalidRecord, StreamUnavailable

RECORDS_PER_REQUEST: Final = 500
BYTES_PER_REQUEST: Final = 5 * 1024 * 1024
BYTES_PER_RECORD: Final = 1024 * 1024

PAUSES_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses before the records that Kinesis rejected, because a shard is throttled, are sent again."""


class KinesisWriter:
    """Writes records to a stream.

    Records of one key reach one shard in the given order, unless Kinesis rejects a part of a request: rejected records
    are sent again and then follow the accepted ones. `region` None means the configured one; `client` is for tests.
    """

    def __init__(
        self,
        stream: str,
        *,
        region: str | None = None,
        client: Any = None,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self.stream = stream
        self.resent = 0
        """Number of records that were sent again so far."""
        self._client = client or aws_client("kinesis", region=region)
        self._where, self._pauses_seconds = f"Kinesis stream {stream}", pauses_seconds

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Write (partition key, value) pairs, each at least once.

        Raises `StreamUnavailable` if some are rejected after the last pause; any part of `records` may be in the stream
        then. Raises `InvalidRecord` before sending anything if a record is too large, and `Misconfigured` if there is
        no such stream or no permission.
        """
        for request in list(_requests(records)):
            self._put(request)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _put(self, request: list[tuple[str, bytes]]) -> None:
        def send(records: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
            if records is not request:
                self.resent += len(records)
            with translated_errors(self._where, StreamUnavailable):
                answer = self._client.put_records(
                    StreamName=self.stream, Records=[{"PartitionKey": key, "Data": value} for key, value in records]
                )
            if not answer["FailedRecordCount"]:
                return []
            return [
                record for record, result in zip(records, answer["Records"], strict=True) if result.get("ErrorCode")
            ]

        if rejected := resend(send, request, pauses_seconds=self._pauses_seconds):
            raise StreamUnavailable(
                f"{self._where} has not accepted {len(rejected)} of {len(request)} records in "
                f"{len(self._pauses_seconds) + 1} attempts: it is throttled; send more slowly or give it more shards"
            )


class KinesisReader:
    """Reads records from all shards of a stream that arrive after its construction.

    It is meant for a few minutes: shards that a later resharding creates are not read. `client` is for tests.
    """

    def __init__(self, stream: str, *, region: str | None = None, client: Any = None) -> None:
        self._client = client or aws_client("kinesis", region=region)
        self._where = f"Kinesis stream {stream}"
        with translated_errors(self._where, StreamUnavailable):
            pages = self._client.get_paginator("list_shards").paginate(StreamName=stream)
            shards = [shard["ShardId"] for page in pages for shard in page["Shards"]]
            self._iterators = [
                self._client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="LATEST")[
                    "ShardIterator"
                ]
                for shard in shards
            ]

    def poll(self) -> list[bytes]:
        """Return the records since the last call, in order within a shard. AWS allows five calls per second."""
        values: list[bytes] = []
        for index, iterator in enumerate(self._iterators):
            if iterator is None:
                continue
            with translated_errors(self._where, StreamUnavailable):
                answer = self._client.get_records(ShardIterator=iterator)
            values += [record["Data"] for record in answer["Records"]]
            self._iterators[index] = answer.get("NextShardIterator")
        return values

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def read_range(stream: str, shard_id: str, first: str, last: str, *, client: Any = None) -> list[tuple[str, bytes]]:
    """Return the records of a shard from sequence number `first` to `last`, both included, as (partition key, value).

    Records that the stream has deleted are left out, so compare the number of records with the expected one. Raises
    `StreamUnavailable`, and `Misconfigured` for a shard that no longer exists. `client` is for tests.
    """
    kinesis = client or aws_client("kinesis")
    found: list[tuple[str, bytes]] = []
    with translated_errors(f"shard {shard_id} of Kinesis stream {stream}", StreamUnavailable):
        iterator = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard_id, ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=first
        )["ShardIterator"]
        while iterator is not None:
            answer = kinesis.get_records(ShardIterator=iterator)
            for record in answer["Records"]:
                if int(record["SequenceNumber"]) > int(last):
                    return found
                found.append((record["PartitionKey"], record["Data"]))
            if not answer["Records"] and not answer.get("MillisBehindLatest"):
                return found
            iterator = answer.get("NextShardIterator")
    return found


def _requests(records: Sequence[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    request: list[tuple[str, bytes]] = []
    size = 0
    for key, value in records:
        length = len(key.encode()) + len(value)
        if length > BYTES_PER_RECORD:
            raise InvalidRecord(f"{length:,} bytes; Kinesis accepts {BYTES_PER_RECORD:,} per record including its key")
        if request and (len(request) == RECORDS_PER_REQUEST or size + length > BYTES_PER_REQUEST):
            yield request
            request, size = [], 0
        request.append((key, value))
        size += length
    if request:
        yield request
