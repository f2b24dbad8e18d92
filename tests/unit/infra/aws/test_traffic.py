"""Traffic for AWS: the world's days at a rate, their labels as files, and the smoke test's ten transactions."""

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
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class Stream:
    """Keeps what is written, and when."""

    def __init__(self, time: Time, *, fails_after: int | None = None) -> None:
        self._time, self._fails_after = time, fails_after
        self.resent = 0
        self.writes: list[tuple[float, list[tuple[str, bytes]]]] = []

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        if self._fails_after is not None and len(self.writes) >= self._fails_after:
            raise StreamUnavailable("throttled")
        self.writes.append((self._time.now, list(records)))

    @property
    def records(self) -> list[tuple[str, bytes]]:
        return [record for _, records in self.writes for record in records]


def traffic(time: Time, stream: Stream, objects: dict[str, bytes]) -> Traffic:
    return Traffic(Simulation(WORLD), stream, objects.__setitem__, clock=time.clock, pause=time.pause)


def test_a_day_is_sent_whole_and_keyed_by_card_and_its_labels_follow_as_one_file() -> None:
    time, objects = Time(), dict[str, bytes]()
    stream = Stream(time)
    sending = traffic(time, stream, objects)
    for number in range(30):
        sending.send_day(number, rate_per_second=None)
    days = [Simulation(WORLD)] * 1
    world = days[0]
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


def test_what_was_due_while_the_stream_was_slow_is_sent_at_once_and_never_too_much() -> None:
    class Slow(Stream):
        def write(self, records: Sequence[tuple[str, bytes]]) -> None:
            super().write(records)
            time.now += 60.0 if len(self.writes) == 1 else 0.0

    time = Time()
    stream = Slow(time)
    traffic(time, stream, {}).send_day(0, rate_per_second=100.0)
    assert len(stream.writes[1][1]) == min(MAX_AT_ONCE, len(stream.records) - 1)
    assert max(len(records) for _, records in stream.writes) <= MAX_AT_ONCE


def test_what_was_sent_is_known_when_the_stream_gives_up() -> None:
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
    """Gives what it is told to, a call at a time."""

    def __init__(self, *polls: list[bytes]) -> None:
        self._polls = itertools.chain(polls, itertools.repeat([]))

    def poll(self) -> list[bytes]:
        return next(self._polls)


def test_smoke_transactions_are_new_ordinary_and_of_this_moment() -> None:
    first, again = new_transactions(NOW, "a"), new_transactions(NOW, "b")
    assert len(first) == TRANSACTIONS
    assert len({each.transaction_id for each in [*first, *again]}) == 2 * TRANSACTIONS
    assert len({each.card_id for each in [*first, *again]}) == 2 * TRANSACTIONS
    assert first[-1].occurred_at == NOW
    assert [decode(encode(each), Transaction) for each in first] == first
    asked = unsent_transaction(first[0], "a")
    assert asked.card_id == first[0].card_id
    assert asked.transaction_id not in {each.transaction_id for each in first}


def test_smoke_waits_until_each_has_its_decision_and_overlooks_others_and_repeats() -> None:
    time = Time()
    sent = new_transactions(NOW, "a")
    other = decision(new_transactions(NOW, "b")[0])
    answers = [decision(each) for each in sent]
    reader = Decisions([other], answers[:6], [answers[0], *answers[6:]])
    arrived = await_decisions(sent, Stream(time), reader, clock=time.clock, pause=time.pause)
    assert [each.decision.transaction for each in arrived] == sent
    assert [each.seconds for each in arrived] == [0.25] * 6 + [0.5] * 4


def test_smoke_says_how_many_decisions_did_not_come() -> None:
    time = Time()
    sent = new_transactions(NOW, "a")
    reader = Decisions([decision(each) for each in sent[:7]])
    with pytest.raises(CardwatchError, match="3 of 10 transactions have no decision after 5 s"):
        await_decisions(sent, Stream(time), reader, patience_seconds=5.0, clock=time.clock, pause=time.pause)


def test_the_api_answers_what_the_service_answers_or_is_not_ours() -> None:
    answer = parse_score_response(b'{"action": "decline", "sequence": 4, "degraded": true, "reasons": ["x"]}')
    assert (answer.action, answer.sequence, answer.degraded) == (Action.DECLINE, 4, True)
    with pytest.raises(CardwatchError, match="the API's answer is not that of /v1/score"):
        parse_score_response(b'{"message": "Forbidden"}')
