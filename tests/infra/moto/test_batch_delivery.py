"""The rules of batch delivery, without threads and without a server."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from infra.moto.lambda_.batch_delivery import BatchDelivery, ExhaustedBatch, FailureRules, ShardCallbacks
from infra.moto.lambda_.runtime import InvocationResult


def delivered(
    rules: FailureRules, results: list[InvocationResult], *, age_seconds: float = 0.0
) -> tuple[list[str], list[ExhaustedBatch]]:
    """Deliver records 1, 2 and 3. Return the records of each invocation, and the skipped batches."""
    invoked: list[str] = []
    skipped: list[ExhaustedBatch] = []
    upcoming = iter(results)

    def invoke(records: Sequence[str]) -> InvocationResult:
        invoked.append("".join(records))
        return next(upcoming)

    shard = ShardCallbacks(invoke, str, lambda _record: age_seconds, lambda attempts: attempts < 5, skipped.append)
    BatchDelivery(rules, shard).deliver(["1", "2", "3"])
    return invoked, skipped


FAILED, PROCESSED = InvocationResult("{}", failed=True), InvocationResult("null", failed=False)


def reported(*numbers: object) -> InvocationResult:
    return InvocationResult(
        json.dumps({"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}), failed=False
    )


def test_a_batch_that_is_too_old_is_skipped_after_its_next_failure() -> None:
    invoked, [skipped] = delivered(FailureRules(max_age_seconds=60), [FAILED], age_seconds=61.0)
    assert invoked == ["123"] and skipped.condition == "RecordAgeExceeded" and list(skipped.records) == ["1", "2", "3"]


def test_without_limits_a_batch_is_retried_until_it_is_processed() -> None:
    assert delivered(FailureRules(), [FAILED, FAILED, FAILED, PROCESSED]) == (["123"] * 4, [])


def test_attempts_are_counted_from_zero_after_some_records_were_processed() -> None:
    results = [FAILED, reported("2"), FAILED, PROCESSED]
    assert delivered(FailureRules(partial=True, max_retries=1), results) == (["123", "123", "23", "23"], [])


@pytest.mark.parametrize("wrong", [reported("9"), reported(""), reported(None), InvocationResult("[]", failed=False)])
def test_a_response_that_aws_would_reject_is_a_failure_of_the_whole_batch(wrong: InvocationResult) -> None:
    assert delivered(FailureRules(partial=True), [wrong, PROCESSED]) == (["123", "123"], [])


def test_partial_responses_are_ignored_unless_the_mapping_enables_them() -> None:
    assert delivered(FailureRules(), [reported("2")]) == (["123"], [])
