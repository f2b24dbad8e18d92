"""Kinesis streams: records in, in requests as large as they may be, and records out from every shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from adapters.aws.clients import answering, aws_client
from adapters.runtime.retry import resend
from cardwatch.errors import InvalidRecord, StreamUnavailable

RECORDS_A_REQUEST: Final = 500
BYTES_A_REQUEST: Final = 5 * 1024 * 1024
BYTES_A_RECORD: Final = 1024 * 1024

PAUSES_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses before the records that Kinesis rejected, because a shard is throttled, are sent again."""


class KinesisWriter:
    """Puts records into the stream of this name.

    Records of one key reach one shard, and in the order in which they were given, unless Kinesis takes only a part of a
    request: what it left out is sent again and then stands behind what it took. `region` is the machine's if None;
    `client` is for tests.
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
        """Records that had to be sent again, so far."""
        self._client = client or aws_client("kinesis", region=region)
        self._where, self._pauses_seconds = f"Kinesis stream {stream}", pauses_seconds

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Put (partition key, value) pairs. When this returns, all of them are in the stream, at least once.

        Raises `StreamUnavailable` if some are not in it after the last pause: any part of `records` may be in the
        stream then. Raises `InvalidRecord`, before anything is sent, for one that Kinesis never takes, and
        `Misconfigured` if there is no such stream or it may not be written to.
        """
        for request in list(_requests(records)):
            self._put(request)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _put(self, request: list[tuple[str, bytes]]) -> None:
        def send(records: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
            if records is not request:
                self.resent += len(records)
            with answering(self._where, StreamUnavailable):
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
    """Reads what comes into a stream from the moment on at which this is made, whatever its shard.

    It is for a few minutes: shards that a resharding makes later are not read. `client` is for tests.
    """

    def __init__(self, stream: str, *, region: str | None = None, client: Any = None) -> None:
        self._client = client or aws_client("kinesis", region=region)
        self._where = f"Kinesis stream {stream}"
        with answering(self._where, StreamUnavailable):
            pages = self._client.get_paginator("list_shards").paginate(StreamName=stream)
            shards = [shard["ShardId"] for page in pages for shard in page["Shards"]]
            self._iterators = [
                self._client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="LATEST")[
                    "ShardIterator"
                ]
                for shard in shards
            ]

    def poll(self) -> list[bytes]:
        """What has come since the last call, in order within a shard. AWS allows five calls a second."""
        values: list[bytes] = []
        for place, iterator in enumerate(self._iterators):
            if iterator is None:
                continue
            with answering(self._where, StreamUnavailable):
                answer = self._client.get_records(ShardIterator=iterator)
            values += [record["Data"] for record in answer["Records"]]
            self._iterators[place] = answer.get("NextShardIterator")
        return values

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def read_stretch(stream: str, shard_id: str, first: str, last: str, *, client: Any = None) -> list[tuple[str, bytes]]:
    """The records of a shard between two sequence numbers, both included, as (partition key, value).

    Those that the stream has deleted since are left out, so compare their number with what it should be. Raises
    `StreamUnavailable`, and `Misconfigured` for a shard that is not there any more. `client` is for tests.
    """
    kinesis = client or aws_client("kinesis")
    found: list[tuple[str, bytes]] = []
    with answering(f"shard {shard_id} of Kinesis stream {stream}", StreamUnavailable):
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
        if length > BYTES_A_RECORD:
            raise InvalidRecord(f"{length:,} bytes; Kinesis takes {BYTES_A_RECORD:,} in a record, its key included")
        if request and (len(request) == RECORDS_A_REQUEST or size + length > BYTES_A_REQUEST):
            yield request
            request, size = [], 0
        request.append((key, value))
        size += length
    if request:
        yield request
