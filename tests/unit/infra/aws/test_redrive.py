"""Batches that Lambda gave up are sent again, with moto's Kinesis and SQS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple
from uuid import uuid4

import boto3
import pytest

from adapters.aws.kinesis import KinesisWriter, read_range
from adapters.aws.sqs import Queue
from cardwatch.errors import CardwatchError, Misconfigured, StreamUnavailable
from infra.aws.deploy.redrive import AbandonedBatch, Records, RedriveResult, redrive, require_all_sent

REGION = "eu-central-1"


class Cloud(NamedTuple):
    """A stream of one shard with five records, and an empty queue."""

    stream: str
    queue: Queue
    shard: str
    sequence_numbers: list[str]
    url: str

    def read(self, batch: AbandonedBatch) -> Records:
        return read_range(self.stream, batch.shard_id, batch.start_sequence_number, batch.end_sequence_number)

    def put(self, first: int, last: int, size: int) -> None:
        """Send a message in the format of Lambda's destination for failures."""
        self.queue.send([lambda_message(self.shard, self.sequence_numbers[first], self.sequence_numbers[last], size)])

    def message_counts(self) -> list[str]:
        answer = boto3.client("sqs", region_name=REGION).get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        )
        return list(answer["Attributes"].values())


def lambda_message(shard: str, first: str, last: str, size: int) -> bytes:
    return json.dumps(
        {
            "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 3},
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
            "version": "1.0",
            "KinesisBatchInfo": {
                "shardId": shard,
                "startSequenceNumber": first,
                "endSequenceNumber": last,
                "approximateArrivalOfFirstRecord": "2026-11-14T00:38:06.021Z",
                "approximateArrivalOfLastRecord": "2026-11-14T00:38:06.021Z",
                "batchSize": size,
                "streamArn": "arn:aws:kinesis:eu-central-1:1:stream/s",
            },
        }
    ).encode()


@pytest.fixture
def cloud(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    name = uuid4().hex
    kinesis = boto3.client("kinesis", region_name=REGION)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    put = [kinesis.put_record(StreamName=name, PartitionKey=f"card-{n}", Data=b"%d" % n) for n in range(5)]
    url = boto3.client("sqs", region_name=REGION).create_queue(QueueName=name)["QueueUrl"]
    yield Cloud(name, Queue(url), put[0]["ShardId"], [each["SequenceNumber"] for each in put], url)


def all_records(cloud: Cloud) -> list[tuple[str, bytes]]:
    return read_range(cloud.stream, cloud.shard, cloud.sequence_numbers[0], str(10**60))


def test_the_records_of_a_batch_are_sent_again_under_their_keys_and_the_message_is_gone(cloud: Cloud) -> None:
    cloud.put(1, 3, 3)
    with closing(KinesisWriter(cloud.stream)) as writer:
        assert redrive(cloud.queue, cloud.read, writer.write) == RedriveResult(batches=1, records=3)
    sent: list[tuple[str, bytes]] = all_records(cloud)[5:]
    assert sent == [("card-1", b"1"), ("card-2", b"2"), ("card-3", b"3")]
    assert cloud.message_counts() == ["0", "0"]


def test_a_batch_that_cannot_be_sent_stays_in_the_queue(cloud: Cloud) -> None:
    cloud.put(0, 4, 5)

    def fail(records: Sequence[Any]) -> None:
        raise StreamUnavailable("throttled")

    with pytest.raises(StreamUnavailable):
        redrive(cloud.queue, cloud.read, fail)
    assert cloud.message_counts() == ["0", "1"]


def test_records_that_the_stream_has_deleted_are_reported(cloud: Cloud) -> None:
    cloud.put(3, 4, 7)
    result = redrive(cloud.queue, cloud.read, lambda records: None)
    assert result == RedriveResult(batches=1, records=2, expired=5)
    with pytest.raises(CardwatchError, match="5 records were not in the stream any more"):
        require_all_sent(result)


def test_a_message_of_another_kind_stays_in_the_queue_and_is_reported(cloud: Cloud) -> None:
    cloud.queue.send([b'{"hello": "world"}'])
    result = redrive(cloud.queue, cloud.read, lambda records: None)
    assert result == RedriveResult(unreadable=1)
    assert cloud.message_counts() == ["0", "1"]
    with pytest.raises(CardwatchError, match="1 messages do not name a batch"):
        require_all_sent(result)


def test_a_shard_that_is_gone_is_named(cloud: Cloud) -> None:
    with pytest.raises(Misconfigured, match="shardId-000000000099"):
        read_range(cloud.stream, "shardId-000000000099", "1", "2")
