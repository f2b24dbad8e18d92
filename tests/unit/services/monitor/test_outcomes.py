from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from adapters.archive.layout import SCHEMAS
from cardwatch.topics import LABELS
from services.monitor.outcomes import AlertOutcome, Outcomes, OutcomeTotal, count_outcomes, summarize

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)


def decisions(*rows: tuple[str, str, int]) -> pa.Table:
    """Id, action and amount; the log has one partition."""
    return pa.table(
        {
            "transaction_id": [row[0] for row in rows],
            "action": [row[1] for row in rows],
            "amount_minor": [row[2] for row in rows],
            "partition": [0] * len(rows),
            "log_offset": list(range(len(rows))),
            "occurred_at": pa.array([NOON] * len(rows), pa.timestamp("ms", "UTC")),
        }
    )


def count(decided: pa.Table, made: pa.Table, known: pa.Table, stops: float = 0.75) -> Outcomes:
    return count_outcomes(decided, made, known, challenge_stops_fraud=stops)


def transactions(*currencies: str) -> pa.Table:
    return pa.table(
        {
            "currency": list(currencies),
            "partition": [0] * len(currencies),
            "log_offset": list(range(len(currencies))),
        }
    )


def labels(*said: tuple[str, bool]) -> pa.Table:
    """In the order in which they were observed."""
    rows: list[dict[str, Any]] = [
        {
            "transaction_id": transaction,
            "card_id": "c",
            "merchant_id": "m",
            "is_fraud": is_fraud,
            "effective_at": NOON,
            "observed_at": NOON,
            "source": "investigator",
            "partition": 0,
            "log_offset": offset,
        }
        for offset, (transaction, is_fraud) in enumerate(said)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMAS[LABELS])


def test_declined_fraud_is_caught_and_of_challenged_fraud_the_share_that_a_challenge_stops() -> None:
    found = count(
        decisions(
            ("a", "decline", 100),
            ("b", "challenge", 20),
            ("c", "approve", 3),
            ("d", "challenge", 7),
            ("e", "approve", 5),
        ),
        transactions("EUR", "EUR", "EUR", "EUR", "EUR"),
        labels(("a", True), ("b", True), ("c", True)),
    )
    assert found == {
        (AlertOutcome.CAUGHT, "EUR"): OutcomeTotal(1.75, 115),  # 100 and three quarters of 20
        (AlertOutcome.MISSED, "EUR"): OutcomeTotal(1.25, 8),  # 3 and the rest of 20
        (AlertOutcome.FALSE_ALARM, "EUR"): OutcomeTotal(1, 7),
        (AlertOutcome.PASSED, "EUR"): OutcomeTotal(1, 5),
    }


def test_the_summary_has_counts_and_amounts() -> None:
    found = {
        (AlertOutcome.PASSED, "JPY"): OutcomeTotal(1, 2),
        (AlertOutcome.CAUGHT, "EUR"): OutcomeTotal(2, 120),
        (AlertOutcome.PASSED, "EUR"): OutcomeTotal(7, 30),
    }
    assert summarize(found) == (
        "2 caught (120 EUR), 0 missed, 0 false_alarm, 8 passed (30 EUR, 2 JPY), 0 unknown, amounts in minor units"
    )


def test_amounts_of_different_currencies_are_not_added_up() -> None:
    found = count(decisions(("a", "approve", 1), ("b", "approve", 2)), transactions("EUR", "JPY"), labels())
    assert found == {(AlertOutcome.PASSED, "EUR"): OutcomeTotal(1, 1), (AlertOutcome.PASSED, "JPY"): OutcomeTotal(1, 2)}


def test_the_newest_label_counts() -> None:
    found = count(decisions(("a", "decline", 9)), transactions("EUR"), labels(("a", True), ("a", False)))
    assert found == {(AlertOutcome.FALSE_ALARM, "EUR"): OutcomeTotal(1, 9)}


def test_the_outcome_of_a_declined_payment_without_a_label_is_unknown_and_no_false_alarm() -> None:
    found = count(decisions(("a", "decline", 9), ("b", "decline", 4)), transactions("EUR", "EUR"), labels(("b", False)))
    assert found == {
        (AlertOutcome.UNKNOWN, "EUR"): OutcomeTotal(1, 9),
        (AlertOutcome.FALSE_ALARM, "EUR"): OutcomeTotal(1, 4),
    }


def test_challenges_that_stop_everything_catch_whole_frauds() -> None:
    found = count(decisions(("a", "challenge", 9)), transactions("EUR"), labels(("a", True)), stops=1.0)
    assert found == {(AlertOutcome.CAUGHT, "EUR"): OutcomeTotal(1, 9)}
    assert summarize({(AlertOutcome.CAUGHT, "EUR"): OutcomeTotal(1.9, 100)}).startswith("1.9 caught (100 EUR)")
