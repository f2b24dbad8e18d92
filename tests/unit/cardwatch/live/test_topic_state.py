"""What the console learns from records of the topics."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.live.topic_state import KEPT_RECORDS, TopicState
from cardwatch.progress import Bootstrapped, DayMonitored, DriftDetected, ModelMoved, RetrainingEnded, RetrainingStarted
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, LABELS, PROGRESS

STOPS = {"challenge": 0.9, "decline": 1.0}
DAY = date(2025, 3, 1)


def record(topic: str, value: object, *, offset: int = 0, at_ms: int = 1_000) -> Record:
    encoded = value if isinstance(value, bytes | None) else msgspec.json.encode(value)
    return Record(topic, 0, offset, at_ms, None, encoded)


def decision(number: int, action: str = "approve", **changed: object) -> Record:
    transaction = {
        "transaction_id": f"t-{number}",
        "card_id": "c-1",
        "occurred_at": "2025-03-01T10:00:00Z",
        "amount_minor": 5_000,
        "currency": "EUR",
        "channel": "ecommerce",
    }
    fields = {
        "transaction": transaction, "partition": 0, "offset": number, "action": action, "reasons": [],
        "latency_ms": 12.0, "model_version": "1", "probability": 0.1, **changed,
    }  # fmt: skip
    return record(DECISIONS, fields, offset=number)


def label(number: int, *, is_fraud: bool = True) -> Record:
    return record(LABELS, {"transaction_id": f"t-{number}", "is_fraud": is_fraud})


def monitored(day: date = DAY, **changed: object) -> DayMonitored:
    fields: dict[str, object] = {
        "day": day, "champion_version": "1", "average_precision": 0.7, "baseline_average_precision": 0.8,
        "matured_frauds": 50, "drifted_features": [], "drift_share": 0.0, "state": "stable", **changed,
    }  # fmt: skip
    return msgspec.convert(fields, DayMonitored)


@pytest.fixture
def state() -> TopicState:
    return TopicState(STOPS, now_seconds=0.0)


def test_decisions_are_counted_by_action_and_by_who_decided(state: TopicState) -> None:
    by_rules = {"degraded": True, "model_version": None, "probability": None}
    state.take([decision(1), decision(2, "decline"), decision(3, "challenge", **by_rules)], now_seconds=1.0)
    assert state.actions == {"approve": 1, "challenge": 1, "decline": 1}
    assert (state.decisions, state.degraded, state.day) == (3, 1, DAY)


def test_rates_are_those_of_the_last_five_seconds(state: TopicState) -> None:
    for second in range(1, 11):
        numbers = range(second * 10, second * 10 + (10 if second > 5 else 2))
        state.take([decision(number) for number in numbers], now_seconds=float(second))
    assert state.by_model.per_second(10.0) == pytest.approx(10.0)
    assert state.by_rules.per_second(10.0) == 0.0


def test_decisions_of_before_the_start_are_no_traffic(state: TopicState) -> None:
    state.take([decision(number) for number in range(500)], now_seconds=1.0)
    state.begin_rates(1.0)
    state.take([decision(number) for number in range(500, 510)], now_seconds=2.0)
    assert state.by_model.per_second(2.0) == pytest.approx(10.0)


def test_latencies_are_forgotten_after_a_minute(state: TopicState) -> None:
    state.take([decision(1, latency_ms=9_000.0)], now_seconds=0.0)
    state.take([decision(2, latency_ms=10.0), decision(3, latency_ms=20.0)], now_seconds=50.0)
    assert state.latency.percentiles_ms(50, now_seconds=50.0) == [20.0]
    assert state.latency.percentiles_ms(50, now_seconds=70.0) == [15.0]
    assert state.latency.percentiles_ms(50, now_seconds=120.0) == [None]


@pytest.mark.parametrize("labels_first", [True, False])
def test_fraud_is_counted_whichever_of_label_and_decision_comes_first(state: TopicState, labels_first: bool) -> None:
    decisions = [decision(1), decision(2, "challenge"), decision(3, "decline"), decision(4, "decline")]
    labels = [label(1), label(2), label(3), label(4, is_fraud=False)]
    for records in (labels, decisions) if labels_first else (decisions, labels):
        state.take(records, now_seconds=1.0)
    money = state.money()
    assert (money.known_frauds, money.known_minor, money.alerts) == (3, 15_000, 3)
    assert money.stopped_frauds == pytest.approx(1.9)  # a decline, and nine tenths of a challenge
    assert money.stopped_minor == pytest.approx(9_500)


def test_a_repeated_label_counts_once(state: TopicState) -> None:
    state.take([decision(1), label(1), label(1)], now_seconds=1.0)
    assert state.money().known_frauds == 1


def moved(number: int, kind: str, share: float | None = None) -> ModelMoved:
    champion = "2" if kind == "promote" else "1"
    return ModelMoved(
        day=DAY,
        number=number,
        kind=kind,
        version="2",
        champion_version=champion,
        actor="ladder",
        reason="it passed",
        share=share,
    )


def test_the_timeline_tells_the_life_of_a_model_in_order(state: TopicState) -> None:
    happened = [
        Bootstrapped(day=DAY, champion_version="1", average_precision=0.8),
        monitored(),
        DriftDetected(day=DAY, champion_version="1", reasons=["it has lost 30 %"]),
        RetrainingStarted(day=DAY, champion_version="1", reasons=[]),
        RetrainingEnded(day=DAY, challenger_version="2", promoted=True, reasons=["passed: cost", "passed: latency"]),
        moved(2, "shadow"),
        moved(3, "canary", share=0.1),
    ]
    state.take([decision(1)], now_seconds=1.0)
    state.take([record(PROGRESS, each) for each in happened], now_seconds=2.0)
    state.take([decision(2, model_version="2", canary_version="2", canary_share=0.1)], now_seconds=3.0)
    assert (state.model().champion_version, state.model().serving_version) == ("1", "1")
    state.take([record(PROGRESS, moved(4, "promote"))], now_seconds=4.0)
    state.take([decision(3, model_version="2")], now_seconds=5.0)
    events = state.timeline.events
    assert [event.kind.value for event in events] == [
        "live", "champion", "drift", "retraining", "verdict", "verdict", "verdict", "champion", "swap",
    ]  # fmt: skip
    assert [event.number for event in events] == list(range(9))
    assert events[2].details == ["it has lost 30 %"]
    assert events[4].text == "v2 has passed its verdict, 2 checks passed"
    assert events[4].details == ["cost", "latency"]
    assert [event.text for event in events[5:8]] == [
        "v2 scores in shadow and decides nothing", "v2 is canary and decides 10% of the cards", "v2 is champion",
    ]  # fmt: skip
    assert events[7].details == []
    assert (state.model().champion_version, state.model().serving_version) == ("2", "2")


def test_a_refused_challenger_names_its_failed_checks_first(state: TopicState) -> None:
    ended = RetrainingEnded(
        day=DAY, challenger_version="2", promoted=False, reasons=["passed: latency", "FAILED: cost is not lower"]
    )
    state.take([record(PROGRESS, ended)], now_seconds=1.0)
    [event] = state.timeline.events
    assert event.text == "v2 is refused, 1 of 2 checks failed"
    assert event.details == ["FAILED: cost is not lower", "latency"]


def test_only_retraining_that_has_not_ended_is_shown(state: TopicState) -> None:
    started = RetrainingStarted(day=DAY, champion_version="1", reasons=[])
    ended = RetrainingEnded(day=DAY, challenger_version=None, promoted=False, reasons=[])
    state.take([record(PROGRESS, started)], now_seconds=1.0)
    assert state.is_retraining
    state.take([record(PROGRESS, ended)], now_seconds=1.0)
    assert not state.is_retraining


def test_the_newest_records_are_kept_whole(state: TopicState) -> None:
    newest = decision(KEPT_RECORDS + 1)
    state.take([*(decision(number) for number in range(1, KEPT_RECORDS + 1)), newest], now_seconds=1.0)
    assert state.record(0, KEPT_RECORDS + 1) == newest.value
    assert state.record(0, 1) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        b'{"action": 3}',
        b"null",
        b'{"is_fraud": "yes"}',
    ],
)
@pytest.mark.parametrize("topic", [DECISIONS, LABELS, PROGRESS, DEAD_LETTERS])
def test_a_record_that_breaks_its_contract_is_passed_over(state: TopicState, topic: str, value: bytes | None) -> None:
    state.take([record(topic, value), decision(1)], now_seconds=1.0)
    assert state.decisions == 1


def test_a_decision_with_an_unknown_action_or_an_impossible_day_is_passed_over(state: TopicState) -> None:
    strange = msgspec.json.decode(decision(2).value or b"")
    strange["transaction"]["occurred_at"] = "9999-99-99T00:00:00Z"
    state.take([decision(1, "explode"), record(DECISIONS, strange), decision(3)], now_seconds=1.0)
    assert (state.decisions, state.day) == (1, DAY)


@given(st.lists(st.tuples(st.sampled_from([DECISIONS, LABELS, PROGRESS, DEAD_LETTERS]), st.binary(max_size=200))))
def test_no_bytes_of_any_topic_end_the_console(records: list[tuple[str, bytes]]) -> None:
    state = TopicState(STOPS, now_seconds=0.0)
    state.take([record(topic, value) for topic, value in records], now_seconds=1.0)
    assert state.dead_letters == sum(topic == DEAD_LETTERS for topic, _ in records)
