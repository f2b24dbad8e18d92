"""Event source mappings deliver the records of Kinesis streams to functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Client = Callable[[str], Any]
WaitUntil = Callable[..., Any]

pytestmark = pytest.mark.proves("ours", "an event source mapping hands over a shard's records")


def seen(file: Path) -> list[list[str]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def flat(batches: list[list[str]]) -> list[str]:
    return [value for batch in batches for value in batch]


def test_sequence_numbers_are_as_long_as_on_aws_and_grow(streams: Any) -> None:
    numbers = streams.put(streams.create(), "a", "b", "c")
    assert {len(number) for number in numbers} == {56}
    assert numbers == sorted(numbers)


def test_records_put_before_and_after_the_mapping_arrive_in_order_in_batches_of_its_size(
    streams: Any, wait_until: WaitUntil
) -> None:
    stream = streams.create()
    streams.put(stream, *"abcde")
    _, file = streams.read(stream, "pass", BatchSize=2)
    wait_until(lambda: flat(seen(file)) == list("abcde"), "five records")
    streams.put(stream, "f")
    wait_until(lambda: flat(seen(file)) == list("abcdef"), "the sixth record")
    assert seen(file)[:3] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_failing_batch_is_tried_again_as_a_whole_before_what_follows(streams: Any, wait_until: WaitUntil) -> None:
    stream = streams.create()
    streams.put(stream, *"abc")
    _, file = streams.read(
        stream,
        """
        import os
        mark = os.environ["SEEN"] + ".failed"
        if not os.path.exists(mark):
            open(mark, "w").close()
            raise RuntimeError("not yet")
        """,
        BatchSize=2,
    )
    wait_until(lambda: len(seen(file)) == 3, "three invocations")
    assert seen(file) == [["a", "b"], ["a", "b"], ["c"]]


def test_a_reported_failure_brings_back_the_batch_from_that_record_on(streams: Any, wait_until: WaitUntil) -> None:
    stream = streams.create()
    streams.put(stream, *"abcd")
    _, file = streams.read(
        stream,
        """
        import os
        mark = os.environ["SEEN"] + ".failed"
        if os.path.exists(mark):
            return {"batchItemFailures": []}
        open(mark, "w").close()
        return {"batchItemFailures": [{"itemIdentifier": numbers[3]}, {"itemIdentifier": numbers[2]}]}
        """,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    wait_until(lambda: len(seen(file)) == 2, "two invocations")
    assert seen(file) == [list("abcd"), list("cd")]


def test_a_poison_record_is_found_by_bisecting_and_reported_to_the_destination(
    streams: Any, wait_until: WaitUntil
) -> None:
    stream, (url, queue_arn) = streams.create(), streams.create_queue()
    numbers = streams.put(stream, "a", "b", "poison", "d")
    _, file = streams.read(
        stream,
        "if 'poison' in values: raise ValueError('it is poison')",
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": queue_arn}},
    )
    [result] = wait_until(lambda: streams.exhausted(url), "the message about the poison record")
    batch = result["KinesisBatchInfo"]
    assert result["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert result["requestContext"]["approximateInvokeCount"] == 2
    assert batch["startSequenceNumber"] == batch["endSequenceNumber"] == numbers[2]
    assert batch["batchSize"] == 1 and batch["streamArn"] == streams.arn(stream)
    wait_until(lambda: seen(file)[-1] == ["d"], "the record after it")
    assert seen(file) == [["a", "b", "poison", "d"], ["a", "b"], ["poison", "d"], ["poison"], ["poison"], ["d"]]


def test_a_failing_shard_does_not_block_another_shard(streams: Any, wait_until: WaitUntil) -> None:
    stream = streams.create(shards=2)
    _, file = streams.read(stream, "if values[0] == 'bad': raise ValueError('never')")
    streams.put(stream, "bad", key="a")  # md5 of a: 0x0c..., the lower half; of c: 0x4a..; of b: 0x92...
    wait_until(lambda: seen(file), "the first invocation")
    streams.put(stream, "good", key="b")
    wait_until(lambda: ["good"] in seen(file), "the other shard's record")


def test_a_mapping_that_is_deleted_reads_no_more(streams: Any, client: Client, wait_until: WaitUntil) -> None:
    stream = streams.create()
    mapping, file = streams.read(stream, "pass")
    streams.put(stream, "a")
    wait_until(lambda: seen(file) == [["a"]], "the first record")
    client("lambda").delete_event_source_mapping(UUID=mapping)
    _, other = streams.read(stream, "pass")
    wait_until(lambda: seen(other) == [["a"]], "the first record, by another reader")  # so the first one has stopped
    streams.put(stream, "b")
    wait_until(lambda: seen(other) == [["a"], ["b"]], "the second record, by another reader")
    assert seen(file) == [["a"]]
