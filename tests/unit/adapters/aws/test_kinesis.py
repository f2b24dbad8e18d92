"""Records into Kinesis and out of it: requests as large as they may be, and what a throttled shard leaves out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from adapters.aws.kinesis import BYTES_PER_RECORD, BYTES_PER_REQUEST, RECORDS_PER_REQUEST, KinesisReader, KinesisWriter
from cardwatch.errors import InvalidRecord, Misconfigured, StreamUnavailable

REGION = "eu-central-1"


@pytest.fixture
def moto() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from moto import mock_aws  # noqa: PLC0415

        with mock_aws():
            yield


def stream(name: str, shards: int = 2) -> Any:
    client = boto3.client("kinesis", region_name=REGION)
    client.create_stream(StreamName=name, ShardCount=shards)
    return client


class Throttled:
    """A stream that takes of each request what it is told to, by the value."""

    def __init__(self, *refusals: set[bytes]) -> None:
        self.refusals = list(refusals)
        self.requests: list[list[bytes]] = []

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (boto3's)
        refused = self.refusals.pop(0) if self.refusals else set()
        self.requests.append([record["Data"] for record in Records])
        answers = [
            {"ErrorCode": "ProvisionedThroughputExceededException"} if record["Data"] in refused else {"ShardId": "s"}
            for record in Records
        ]
        return {"FailedRecordCount": sum("ErrorCode" in answer for answer in answers), "Records": answers}


def test_what_is_written_is_read_in_the_order_of_each_card(moto: None) -> None:
    client = stream("decisions")
    reader, writer = KinesisReader("decisions", client=client), KinesisWriter("decisions", client=client)
    written = [(f"card-{number % 7}", str(number).encode()) for number in range(100)]
    writer.write(written)
    found = [int(value) for value in reader.poll()]
    assert sorted(found) == list(range(100))
    for card in range(7):
        of_card = [number for number in found if number % 7 == card]
        assert of_card == sorted(of_card)
    assert reader.poll() == []


def test_a_reader_sees_only_what_comes_after_it(moto: None) -> None:
    client = stream("decisions")
    writer = KinesisWriter("decisions", client=client)
    writer.write([("a", b"before")])
    reader = KinesisReader("decisions", client=client)
    writer.write([("a", b"after")])
    assert reader.poll() == [b"after"]


def test_a_stream_that_is_not_there_is_a_mistake_of_the_caller(moto: None) -> None:
    client = boto3.client("kinesis", region_name=REGION)
    with pytest.raises(Misconfigured, match=r"Kinesis stream nowhere refuses a call: .*ResourceNotFoundException"):
        KinesisWriter("nowhere", client=client).write([("a", b"1")])
    with pytest.raises(Misconfigured, match="Kinesis stream nowhere"):
        KinesisReader("nowhere", client=client)


def test_requests_are_as_large_as_they_may_be_and_no_larger() -> None:
    fake = Throttled()
    KinesisWriter("s", client=fake).write([("card", b"x")] * (2 * RECORDS_PER_REQUEST + 1))
    assert [len(request) for request in fake.requests] == [500, 500, 1]

    fake = Throttled()
    record = ("card", bytes(BYTES_PER_RECORD - 4))  # with its key exactly as large as a record may be: five fit
    KinesisWriter("s", client=fake).write([record] * 6)
    assert [len(request) for request in fake.requests] == [BYTES_PER_REQUEST // BYTES_PER_RECORD, 1]


def test_nothing_is_asked_for_nothing() -> None:
    fake = Throttled()
    KinesisWriter("s", client=fake).write([])
    assert fake.requests == []


def test_a_record_that_is_too_large_is_refused_before_anything_is_sent() -> None:
    fake = Throttled()
    with pytest.raises(InvalidRecord, match="1,048,577 bytes"):
        KinesisWriter("s", client=fake).write([("a", b"1"), ("card", bytes(BYTES_PER_RECORD - 3))])
    assert fake.requests == []


def test_only_what_was_left_out_is_sent_again() -> None:
    fake = Throttled({b"2", b"3"}, {b"3"})
    writer = KinesisWriter("s", client=fake, pauses_seconds=(0.0, 0.0))
    writer.write([("a", b"1"), ("b", b"2"), ("c", b"3")])
    assert fake.requests == [[b"1", b"2", b"3"], [b"2", b"3"], [b"3"]]
    assert writer.resent == 3


def test_what_is_left_out_again_and_again_is_said() -> None:
    fake = Throttled({b"2"}, {b"2"}, {b"2"})
    writer = KinesisWriter("s", client=fake, pauses_seconds=(0.0, 0.0))
    with pytest.raises(
        StreamUnavailable, match="has not accepted 1 of 2 records in 3 attempts: it is throttled"
    ) as caught:
        writer.write([("a", b"1"), ("b", b"2")])
    assert caught.value.retriable
    assert len(fake.requests) == 3


def test_a_stream_that_nobody_serves_is_unavailable() -> None:
    client = boto3.client(
        "kinesis",
        region_name=REGION,
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 (nobody takes it)
    )
    with pytest.raises(StreamUnavailable, match="Kinesis stream s does not answer"):
        KinesisWriter("s", client=client).write([("a", b"1")])
