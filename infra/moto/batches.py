"""How Lambda takes the records of one shard: the rules of an event source mapping, without threads or a clock.

As AWS documents it for streams: in order, a batch until it succeeds. A function that fails has failed for the whole
batch; one that reports `batchItemFailures` has succeeded for what comes before the first of them. What is left is
tried again, in halves if the mapping says so, until its attempts are used up; then it is told to the mapping's
destination and passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

FOREVER = -1


class Rules(NamedTuple):
    """What an event source mapping says of a batch that fails.

    `retries`: how often it is tried after the first attempt, `FOREVER` without end; `age_seconds`: for how long after
    its first record came.
    """

    partial: bool = False
    bisect: bool = False
    retries: int = FOREVER
    age_seconds: int = FOREVER


class Answer(NamedTuple):
    """What the function gave for a batch."""

    payload: str
    failed: bool
    request_id: str = ""


class GivenUp(NamedTuple):
    """Records that were passed over, why, and what the function said last. `attempts` are those of just this batch."""

    records: Sequence[Any]
    condition: str
    answer: Answer
    attempts: int


class Shard(NamedTuple):
    """What delivery needs of the world around it.

    `invoke` asks the function, `sequence_of` gives a record's sequence number and `age_of` its age in seconds, `pause`
    waits before a further attempt (its argument: how many there were) and says whether to go on, `give_up` tells the
    destination.
    """

    invoke: Callable[[Sequence[Any]], Answer]
    sequence_of: Callable[[Any], str]
    age_of: Callable[[Any], float]
    pause: Callable[[int], bool]
    give_up: Callable[[GivenUp], None]


class Delivery:
    """Delivers batches of one shard by the rules of one mapping."""

    def __init__(self, rules: Rules, shard: Shard) -> None:
        self._rules, self._shard = rules, shard

    def deliver(self, records: Sequence[Any]) -> bool:
        """Whether these are done with: taken by the function, or given up. False: `pause` said to stop."""
        attempts = 0
        while records:
            answer = self._shard.invoke(records)
            attempts += 1
            if taken := self._taken(records, answer):
                records, attempts = records[taken:], 0
                continue
            if self._rules.bisect and len(records) > 1:
                middle = len(records) // 2
                return self.deliver(records[:middle]) and self.deliver(records[middle:])
            if condition := self._exhausted(records, attempts):
                self._shard.give_up(GivenUp(records, condition, answer, attempts))
                return True
            if not self._shard.pause(attempts):
                return False
        return True

    def _taken(self, records: Sequence[Any], answer: Answer) -> int:
        """How many from the first on the function has taken."""
        if answer.failed:
            return 0
        if not self._rules.partial:
            return len(records)
        reported = reported_failures(answer.payload)
        if reported is None:
            return 0
        numbers = [self._shard.sequence_of(record) for record in records]
        if not set(reported) <= set(numbers):
            return 0  # AWS takes an answer that names unknown records for a failure of the whole batch
        return min((numbers.index(number) for number in reported), default=len(records))

    def _exhausted(self, records: Sequence[Any], attempts: int) -> str:
        """Why a batch is given up, in AWS's words; nothing if it is not."""
        if self._rules.retries != FOREVER and attempts > self._rules.retries:
            return "RetryAttemptsExhausted"
        if self._rules.age_seconds != FOREVER and self._shard.age_of(records[0]) > self._rules.age_seconds:
            return "RecordAgeExceeded"
        return ""


def reported_failures(payload: str) -> list[str] | None:
    """The sequence numbers that an answer reports as failed; None if AWS would not understand it."""
    answer = json.loads(payload)
    if answer is None or answer == {}:
        return []
    if not isinstance(answer, dict):
        return None
    failures = answer.get("batchItemFailures") or []
    found = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    numbers = [number for number in found if isinstance(number, str) and number]
    return numbers if len(numbers) == len(found) else None
