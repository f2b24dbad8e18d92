"""The decisions that a replay explains, read from the topic."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from msgspec import structs

from adapters.archive.feature_rows import feature_matrix
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import Action, Channel, Decision, Transaction, encode
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.records import Record
from cardwatch.topics import DECISIONS
from cardwatch.warm_up import one_split_detector
from cli.demo.decided_records import decisions_at
from cli.demo.recorded_decisions import explain_decisions

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
AMOUNT = FEATURE_NAMES.index("amount")


def decision(partition: int, offset: int, version: str | None = "1") -> Decision:
    features: list[float | None] = [None] * len(FEATURE_NAMES)
    features[AMOUNT] = 10.0
    return Decision(
        transaction=Transaction(
            transaction_id=f"t-{partition}-{offset}",
            card_id="c-1",
            merchant_id="shop",
            occurred_at=NOON,
            amount_minor=1_000,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        ),
        partition=partition,
        offset=offset,
        sequence=3,
        features=features,
        feature_schema="schema",
        table_id="2025-01-05",
        model_version=version,
        model_digest=version and "abc",
        policy_version="p",
        margin=None if version is None else 0.5,
        probability=None if version is None else 0.25,
        action=Action.DECLINE,
        reasons=[],
        degraded=version is None,
        decided_at=NOON,
        latency_ms=1.0,
    )


def record(value: bytes) -> Record:
    return Record(topic=DECISIONS, partition=0, offset=0, timestamp_ms=0, key=None, value=value)


def test_the_decisions_at_the_positions_come_in_the_order_of_the_log_and_others_are_left_out() -> None:
    records = [record(encode(decision(*at))) for at in ((1, 6), (0, 9), (0, 5), (1, 7))]
    table = decisions_at(records, {(1, 7), (0, 5), (0, 9), (2, 2)})
    assert list(zip(table["partition"].to_pylist(), table["log_offset"].to_pylist(), strict=True)) == [
        (0, 5), (0, 9), (1, 7),
    ]  # fmt: skip


def test_the_first_of_two_decisions_counts_and_what_is_no_decision_is_left_out() -> None:
    first, second = decision(0, 5), structs.replace(decision(0, 5), policy_version="other")
    values = [b"", b"\xff", b'{"partition": 0, "offset": 6}', encode(first), encode(second)]
    table = decisions_at([record(value) for value in values], {(0, 5), (0, 6)})
    assert table["policy_version"].to_pylist() == ["p"]


def test_missing_features_are_no_numbers_and_the_rules_have_no_margin() -> None:
    [row] = feature_matrix(table := decisions_at([record(encode(decision(0, 5, None)))], {(0, 5)}))
    assert row[AMOUNT] == 10.0
    assert np.isnan(np.delete(row, AMOUNT)).all()
    assert (table["margin"].to_pylist(), table["model_version"].to_pylist()) == ([None], [None])


def test_a_decision_of_the_topic_is_explained() -> None:
    records = [record(encode(decision(0, 5))), record(encode(decision(0, 6, None)))]
    table = decisions_at(records, {(0, 5), (0, 6)})
    explained = explain_decisions(table, DecisionPolicy(), "EUR", lambda _: one_split_detector())
    by_model, by_rules = explained.rows
    total = explained.models[0].expected_margin + sum(part.contribution for part in by_model.parts) + by_model.rest
    assert total == pytest.approx(0.5, abs=1e-4)
    assert (by_rules.model, by_rules.costs) == (-1, [None, None, None])


def test_without_any_decision_nothing_is_explained() -> None:
    explained = explain_decisions(decisions_at([], set()), DecisionPolicy(), "EUR", lambda _: one_split_detector())
    assert (explained.rows, explained.models) == ([], [])
