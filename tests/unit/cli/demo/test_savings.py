"""What the decisions of a demo have saved, with costs that are computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, cast

import pyarrow as pa

from adapters.archive.layout import SCHEMAS
from adapters.archive.tables import ArchivedTables
from cardwatch import topics
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.warm_up import one_split_detector
from cli.demo.outcomes import Quality
from cli.demo.phases import BEFORE, SWAPPED, Phase
from cli.demo.savings import Savings, money_saved

FIRST, SECOND = date(2025, 3, 1), date(2025, 3, 2)
POLICY = DecisionPolicy(
    currency="EUR",
    challenge_cost_minor=100.0,
    challenge_stops_fraud=0.75,
    decline_cost_minor=500.0,
    lost_margin=0.1,
)
"""Approved fraud costs its amount, fraud that is challenged a quarter of it. A genuine customer who is challenged costs
100, one who is declined 500 and a tenth of the amount."""


class Decided(NamedTuple):
    """A decision. The old model finds it certainly fraud or certainly genuine."""

    day: date
    amount_minor: int
    action: str
    is_fraud: bool
    old_model_finds_fraud: bool
    currency: str = "EUR"
    is_degraded: bool = False


DECISIONS = [
    Decided(FIRST, 3_000, "approve", is_fraud=True, old_model_finds_fraud=False),  # costs 3,000
    Decided(FIRST, 2_000, "decline", is_fraud=False, old_model_finds_fraud=True),  # costs 500 + 200
    Decided(
        SECOND, 10_000, "decline", is_fraud=True, old_model_finds_fraud=False
    ),  # costs 0; 10,000 with the old model
    Decided(SECOND, 4_000, "approve", is_fraud=False, old_model_finds_fraud=True),  # costs 0; 500 + 400
    Decided(SECOND, 2_000, "challenge", is_fraud=True, old_model_finds_fraud=True),  # costs 500; 0
    Decided(SECOND, 1_000, "challenge", is_fraud=False, old_model_finds_fraud=False),  # costs 100; 0
]


class ArchiveOfDecisions:
    """The archive's transactions and decisions. One split on the amount tells the old model what to find.

    A degraded decision is online, from a device with a known fraud, so that the rules challenge it.
    """

    def __init__(self, decisions: Sequence[Decided]) -> None:
        self._decisions = list(enumerate(decisions))

    def closed_days(self) -> dict[date, str]:
        return dict.fromkeys((FIRST, SECOND), "table")

    def labels(self, _observed_before: datetime, /) -> pa.Table:
        return SCHEMAS[topics.LABELS].empty_table()

    def decision_columns(self, first: date, last: date, columns: Sequence[str], /) -> pa.Table:
        rows = [
            {
                "transaction_id": f"t-{number}",
                "amount_minor": row.amount_minor,
                "channel": "ecommerce",
                "action": row.action,
                "probability": None if row.is_degraded else 0.5,
                "policy_version": POLICY.version,
                "feature_schema": SCHEMA_HASH,
                "features": [1.0 if name in true_features(row) else None for name in FEATURE_NAMES],
                "partition": 0,
                "log_offset": number,
            }
            for number, row in self._decisions
            if first <= row.day <= last
        ]
        return pa.Table.from_pylist(rows, SCHEMAS[topics.DECISIONS]).select(["partition", "log_offset", *columns])

    def transaction_columns(self, first: date, last: date, columns: Sequence[str], /) -> pa.Table:
        rows = [
            {"currency": row.currency, "partition": 0, "log_offset": number}
            for number, row in reversed(self._decisions)
            if first <= row.day <= last
        ]
        return pa.Table.from_pylist(rows, SCHEMAS[topics.TRANSACTIONS]).select(["partition", "log_offset", *columns])


def true_features(row: Decided) -> set[str]:
    """The features that are 1: all others are missing."""
    found = {"amount"} if row.old_model_finds_fraud else set()
    return found | ({"device_frauds", "is_ecommerce"} if row.is_degraded else set())


def old_model(_version: str) -> Detector:
    return one_split_detector()


def phase(name: str, first: date, last: date) -> Phase:
    quality = Quality(
        transactions=0, frauds=0, average_precision=None, recall=None, alarms=0, frauds_caught=0.0, caught_minor=0,
        missed_minor=0,
    )  # fmt: skip
    return Phase(name=name, first_day=first, last_day=last, quality=quality)


def savings(decisions: Sequence[Decided], *, former_version: str | None = "1") -> Savings:
    saved = money_saved(
        cast(ArchivedTables, ArchiveOfDecisions(decisions)),
        [phase(BEFORE, FIRST, FIRST), phase(SWAPPED, SECOND, SECOND)],
        POLICY,
        "EUR",
        frauds={f"t-{number}" for number, row in enumerate(decisions) if row.is_fraud},
        former_version=former_version,
        detector_of=old_model,
    )
    assert saved is not None
    return saved


def test_doing_nothing_costs_all_fraud_and_the_decisions_what_they_let_pass_and_whom_they_annoy() -> None:
    against_nothing = savings(DECISIONS).against_nothing
    assert against_nothing.instead_minor == 3_000 + 10_000 + 2_000
    assert against_nothing.cost_minor == 3_000 + 700 + 500 + 100
    assert against_nothing.saved_minor == 10_700
    assert against_nothing.days == 2


def test_the_old_model_decides_the_days_after_the_swap_again() -> None:
    against_old_model = savings(DECISIONS).against_old_model
    assert against_old_model is not None
    assert (against_old_model.instead_minor, against_old_model.cost_minor) == (10_000 + 900, 600)
    assert (against_old_model.saved_minor, against_old_model.days) == (10_300, 1)


def test_without_a_swap_there_is_no_old_model() -> None:
    assert savings(DECISIONS, former_version=None).against_old_model is None


def test_an_amount_without_a_rate_is_left_out_on_both_sides() -> None:
    foreign = Decided(SECOND, 1_000_000, "approve", is_fraud=True, old_model_finds_fraud=True, currency="USD")
    assert savings([*DECISIONS, foreign]) == savings(DECISIONS)


def test_what_the_rules_decided_without_a_model_is_the_same_with_the_old_one() -> None:
    by_rules = Decided(SECOND, 800, "challenge", is_fraud=True, old_model_finds_fraud=False, is_degraded=True)
    against_old_model = savings([*DECISIONS, by_rules]).against_old_model
    assert against_old_model is not None
    assert (against_old_model.instead_minor, against_old_model.cost_minor) == (10_900 + 200, 600 + 200)


def test_a_demo_without_live_days_has_saved_nothing() -> None:
    archive = cast(ArchivedTables, ArchiveOfDecisions([]))
    assert money_saved(archive, [], POLICY, "EUR", frauds=set(), former_version=None, detector_of=old_model) is None
