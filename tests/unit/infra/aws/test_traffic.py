"""Traffic for AWS: simulated days at a rate, their labels as files, and the smoke test."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from cardwatch.errors import CardwatchError, StreamUnavailable
from cardwatch.events import Action, Decision, Label, Transaction, decode, encode
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.smoke import (
    TRANSACTIONS,
    await_decisions,
    new_transactions,
    parse_score_response,
    unsent_transaction,
)
from infra.aws.acceptance.traffic import MAX_AT_ONCE, Traffic

WORLD = SimulationSettings(seed=3, cards=200)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Time:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Stream:
    """Records the writes and their times."""

    def __init__(self, time: Time, *, fails_after: int | None = None) -> None:
        self._time, self._fails_after = time, fails_after
        self.writes: list[tuple[float, list[tuple[str, bytes]]]] = []

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        if self._fails_after is not None and len(self.writes) >= self._fails_after:
            raise StreamUnavailable("throttled")
        self.writes.append((self._time.now, list(records)))

    @property
    def records(self) -> list[tuple[str, bytes]]:
        return [record for _, records in self.writes for record in records]


def traffic(time: Time, stream: Stream, objects: dict[str, bytes]) -> Traffic:
    return Traffic(Simulation(WORLD), stream.write, objects.__setitem__, clock=time.clock, sleep=time.sleep)


def test_a_day_is_sent_completely_keyed_by_card_and_its_labels_follow_as_one_file() -> None:
    time, objects = Time(), dict[str, bytes]()
    stream = Stream(time)
    sending = traffic(time, stream, objects)
    for number in range(30):
        sending.send_day(number, rate_per_second=None)
    world = Simulation(WORLD)
    events = [world.day(number) for number in range(30)]
    sent = [decode(value, Transaction) for _, value in stream.records]
    assert sent == [transaction for day in events for transaction in day.transactions]
    assert [key for key, _ in stream.records] == [transaction.card_id for transaction in sent]
    assert list(objects) == [f"labels/{day.day}.jsonl" for day in events]
    labels = [decode(line, Label) for body in objects.values() for line in body.splitlines()]
    assert labels == [label for day in events for label in day.labels]
    assert labels, "thirty days have labels"
    assert (sending.sent.transactions, sending.sent.labels, sending.sent.days) == (len(sent), len(labels), 30)


def test_transactions_leave_evenly_at_the_rate() -> None:
    time = Time()
    stream = Stream(time)
    sending = traffic(time, stream, {})
    sending.send_day(0, rate_per_second=10.0)
    for moment, records in stream.writes:
        by_now = sum(len(some) for when, some in stream.writes if when <= moment)
        assert by_now <= (moment - 100.0) * 10.0 + 1, records
    assert sending.sent.seconds == pytest.approx(len(stream.records) / 10.0, abs=0.2)
    assert sending.sent.rate == pytest.approx(10.0, rel=0.05)


def test_overdue_transactions_are_sent_immediately_in_requests_of_limited_size() -> None:
    class Slow(Stream):
        def write(self, records: Sequence[tuple[str, bytes]]) -> None:
            super().write(records)
            time.now += 60.0 if len(self.writes) == 1 else 0.0

    time = Time()
    stream = Slow(time)
    traffic(time, stream, {}).send_day(0, rate_per_second=100.0)
    assert len(stream.writes[1][1]) == min(MAX_AT_ONCE, len(stream.records) - 1)
    assert max(len(records) for _, records in stream.writes) <= MAX_AT_ONCE


def test_the_counts_are_right_when_the_stream_fails() -> None:
    time = Time()
    stream = Stream(time, fails_after=5)
    sending = traffic(time, stream, {})
    with pytest.raises(StreamUnavailable):
        sending.send_day(0, rate_per_second=20.0)
    assert sending.sent.transactions == len(stream.records)
    assert sending.sent.days == 0


def decision(transaction: Transaction) -> bytes:
    return encode(
        Decision(
            transaction=transaction,
            partition=0,
            offset=0,
            sequence=0,
            features=[],
            feature_schema="s",
            table_id="t",
            policy_version="p",
            action=Action.APPROVE,
            reasons=[],
            decided_at=NOW,
            latency_ms=1.0,
        )
    )


class Decisions:
    """Returns the given records, one list per call."""

    def __init__(self, *polls: list[bytes]) -> None:
        self._polls = itertools.chain(polls, itertools.repeat([]))

    def poll(self) -> list[bytes]:
        return next(self._polls)


def test_smoke_transactions_are_new_ordinary_and_current() -> None:
    first, again = new_transactions(NOW, "a"), new_transactions(NOW, "b")
    assert len(first) == TRANSACTIONS
    assert len({each.transaction_id for each in [*first, *again]}) == 2 * TRANSACTIONS
    assert len({each.card_id for each in [*first, *again]}) == 2 * TRANSACTIONS
    assert first[-1].occurred_at == NOW
    assert [decode(encode(each), Transaction) for each in first] == first
    unsent = unsent_transaction(first[0], "a")
    assert unsent.card_id == first[0].card_id
    assert unsent.transaction_id not in {each.transaction_id for each in first}


def test_smoke_waits_for_each_decision_and_ignores_others_and_repeats() -> None:
    time = Time()
    sent = new_transactions(NOW, "a")
    other = decision(new_transactions(NOW, "b")[0])
    answers = [decision(each) for each in sent]
    reader = Decisions([other], answers[:6], [answers[0], *answers[6:]])
    received = await_decisions(sent, Stream(time).write, reader.poll, clock=time.clock, sleep=time.sleep)
    assert [each.decision.transaction for each in received] == sent
    assert [each.seconds for each in received] == [0.25] * 6 + [0.5] * 4


def test_smoke_reports_the_number_of_missing_decisions() -> None:
    time = Time()
    sent = new_transactions(NOW, "a")
    reader = Decisions([decision(each) for each in sent[:7]])
    with pytest.raises(CardwatchError, match="3 of 10 transactions have no decision after 5 s"):
        await_decisions(sent, Stream(time).write, reader.poll, timeout_seconds=5.0, clock=time.clock, sleep=time.sleep)


def test_the_api_response_is_parsed_or_refused() -> None:
    answer = parse_score_response(b'{"action": "decline", "sequence": 4, "degraded": true, "reasons": ["x"]}')
    assert (answer.action, answer.sequence, answer.degraded) == (Action.DECLINE, 4, True)
    with pytest.raises(CardwatchError, match="the API's answer is not that of /v1/score"):
        parse_score_response(b'{"message": "Forbidden"}')
