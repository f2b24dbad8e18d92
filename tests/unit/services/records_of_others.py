"""Strategies for records of other producers: arbitrary bytes, and valid records with odd values."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.events import Action, Channel, DeadLetter, Decision, Label, LabelSource, Transaction, encode
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Heartbeat,
    RateEnded,
    RateStarted,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.topics import DEAD_LETTERS, DECISIONS, LABELS, PROGRESS, TRANSACTIONS

NOON: Final = datetime(2025, 1, 6, 12, tzinfo=UTC)
DAY: Final = date(2025, 1, 6)
PAYMENT: Final = Transaction(
    transaction_id="t-1",
    card_id="card",
    merchant_id="shop",
    occurred_at=NOON,
    amount_minor=1_000,
    currency="EUR",
    merchant_category="5411",
    channel=Channel.CHIP,
    country="DE",
    latitude=52.5,
    longitude=13.4,
    device_id="device",
)
DECISION: Final = Decision(
    transaction=PAYMENT,
    partition=0,
    offset=1,
    sequence=1,
    features=[0.5] * len(FEATURES),
    feature_schema=SCHEMA_HASH,
    table_id="table",
    policy_version="policy",
    margin=0.5,
    probability=0.5,
    action=Action.APPROVE,
    reasons=["AMOUNT"],
    decided_at=NOON,
    latency_ms=1.0,
)
LABEL: Final = Label(
    transaction_id="t-1",
    card_id="card",
    merchant_id="shop",
    is_fraud=True,
    effective_at=NOON,
    observed_at=NOON,
    source=LabelSource.CUSTOMER,
)
EXAMPLES: Final[dict[str, list[msgspec.Struct]]] = {
    TRANSACTIONS: [PAYMENT],
    DECISIONS: [DECISION, structs.replace(DECISION, control_propensity=0.02)],
    LABELS: [LABEL],
    DEAD_LETTERS: [
        DeadLetter(topic=TRANSACTIONS, partition=0, offset=0, key=b"k", value=b"v", field="$.x", reason="why")
    ],
    PROGRESS: [
        DayEmitted(day=DAY, transaction_ends={"0": 1}, label_ends={"0": 1}, decided=True),
        Heartbeat(source="source", at=NOON, transaction_ends={"0": 1}),
        DayArchived(day=DAY, transactions=1, decisions=1, labels=1, table_id="table"),
        Bootstrapped(day=DAY, champion_version="1", average_precision=0.5),
        DayMonitored(
            day=DAY,
            champion_version="1",
            average_precision=0.5,
            baseline_average_precision=0.5,
            matured_frauds=1,
            missed_frauds=1,
            matured_decisions=10,
            baseline_missed_per_10000=1.5,
            drifted_features=["amount"],
            drift_share=0.5,
            state="stable",
        ),
        DriftDetected(day=DAY, champion_version="1", reasons=["why"]),
        RetrainingStarted(day=DAY, champion_version="1", reasons=["why"]),
        RetrainingEnded(day=DAY, challenger_version="2", promoted=True, reasons=["why"]),
        RateStarted(day=DAY, rate_per_second=1.0, seconds=1.0),
        RateEnded(day=DAY, transactions=1, transaction_ends={"0": 1}),
    ],
}
"""Per topic, a valid record of each type."""

ODD_VALUES: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=80),
    st.sampled_from(
        [
            "9999-12-31",
            "0001-01-01",
            "1970-01-01",
            "9998-12-31T23:59:59Z",
            "1970-01-01T00:00:00+23:59",
            "4111111111111111",
            "\x00",
            "\u202e",
            "0" * 5_000,
            "-1",
            10**400,
            2**63,
            2**31,
            -1,
            1e308,
        ]
    ),
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
    st.dictionaries(st.sampled_from(["0", "7", "p0", "-1", "\u0663", ""]), st.integers(-1, 2**70), max_size=2),
)


@st.composite
def changed_records(draw: st.DrawFn, topic: str) -> bytes:
    """A valid record of the topic in which up to two values are odd, missing or unknown."""
    built: Any = msgspec.json.decode(encode(draw(st.sampled_from(EXAMPLES[topic]))))
    for _ in range(draw(st.integers(0, 2))):
        place = built
        if isinstance(built.get("transaction"), dict) and draw(st.booleans()):
            place = built["transaction"]
        name = draw(st.sampled_from([*place, "unknown"]))
        if draw(st.booleans()):
            place.pop(name, None)
        else:
            place[name] = draw(ODD_VALUES)
    return json.dumps(built).encode()  # unlike msgspec, it writes integers of any size


def values(topic: str) -> st.SearchStrategy[bytes | None]:
    """Values of records of a topic."""
    nested = st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b'{"type":"heartbeat","x":' + b"[" * 50_000])
    return st.one_of(st.none(), st.binary(max_size=200), nested, changed_records(topic))


def keys() -> st.SearchStrategy[bytes | None]:
    """Keys of records."""
    return st.one_of(st.just(b"card"), st.none(), st.binary(max_size=40), st.just(b"k" * 70_000))
