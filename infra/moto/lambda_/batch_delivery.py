"""Rules by which Lambda delivers the records of one shard to a function. No threads and no clock.

As AWS documents it for streams, batches are delivered in order, each until it succeeds. An error of the function fails
the whole batch. A function that reports `batchItemFailures` has processed the records before the first failed one. The
remaining records are retried, bisected if the mapping says so, until the retries are exhausted. Then they are reported
to the mapping's destination and skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from infra.moto.lambda_.runtime import InvocationResult

UNLIMITED: Final = -1
"""AWS's value for no limit of retries or record age."""


class FailureRules(NamedTuple):
    """The settings of an event source mapping for a failed batch.

    `max_retries` counts the attempts after the first one. A batch is not retried after its first record is older than
    `max_age_seconds`. `partial` is the setting ReportBatchItemFailures.
    """

    partial: bool = False
    bisect: bool = False
    max_retries: int = UNLIMITED
    max_age_seconds: int = UNLIMITED


class ExhaustedBatch(NamedTuple):
    """Records that were skipped, AWS's name of the reason, the last result, and the attempts for exactly this batch."""

    records: Sequence[Any]
    condition: str
    result: InvocationResult
    attempts: int


class ShardCallbacks(NamedTuple):
    """The part that `BatchDelivery` needs of a shard and of the function.

    `sequence_of` returns the sequence number of a record and `age_of` its age in seconds. `pause` waits before a retry:
    it takes the number of attempts so far and returns whether to continue. `report_exhausted` sends a skipped batch to
    the mapping's destination.
    """

    invoke: Callable[[Sequence[Any]], InvocationResult]
    sequence_of: Callable[[Any], str]
    age_of: Callable[[Any], float]
    pause: Callable[[int], bool]
    report_exhausted: Callable[[ExhaustedBatch], None]


class BatchDelivery:
    """Delivers batches of one shard by the rules of one event source mapping."""

    def __init__(self, rules: FailureRules, shard: ShardCallbacks) -> None:
        self._rules, self._shard = rules, shard

    def deliver(self, records: Sequence[Any]) -> bool:
        """Return true when the function has processed the records or they were skipped, false if `pause` stopped it."""
        attempts = 0
        while records:
            result = self._shard.invoke(records)
            attempts += 1
            if processed := self._processed(records, result):
                records, attempts = records[processed:], 0
                continue
            if self._rules.bisect and len(records) > 1:
                middle = len(records) // 2
                return self.deliver(records[:middle]) and self.deliver(records[middle:])
            if condition := self._exhausted(records, attempts):
                self._shard.report_exhausted(ExhaustedBatch(records, condition, result, attempts))
                return True
            if not self._shard.pause(attempts):
                return False
        return True

    def _processed(self, records: Sequence[Any], result: InvocationResult) -> int:
        """Return how many records, counted from the first, the function has processed."""
        if result.failed:
            return 0
        if not self._rules.partial:
            return len(records)
        reported = reported_failures(result.payload)
        if reported is None:
            return 0
        numbers = [self._shard.sequence_of(record) for record in records]
        if not set(reported) <= set(numbers):
            return 0  # AWS treats a response that names unknown records as a failure of the whole batch
        return min((numbers.index(number) for number in reported), default=len(records))

    def _exhausted(self, records: Sequence[Any], attempts: int) -> str:
        """Return AWS's name of the reason to skip a batch, or an empty string if it may be retried."""
        if self._rules.max_retries != UNLIMITED and attempts > self._rules.max_retries:
            return "RetryAttemptsExhausted"
        if self._rules.max_age_seconds != UNLIMITED and self._shard.age_of(records[0]) > self._rules.max_age_seconds:
            return "RecordAgeExceeded"
        return ""


def reported_failures(payload: str) -> list[str] | None:
    """Return the sequence numbers that a partial batch response reports as failed, or None if AWS would reject it."""
    response = json.loads(payload)
    if response is None or response == {}:
        return []
    if not isinstance(response, dict):
        return None
    failures = response.get("batchItemFailures") or []
    found = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    numbers = [number for number in found if isinstance(number, str) and number]
    return numbers if len(numbers) == len(found) else None
