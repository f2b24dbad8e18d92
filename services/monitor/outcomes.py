"""What became of a day's transactions, once its labels have matured: fraud caught or missed, alarms for nothing."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa

from adapters.archive.reader import fraud_ids
from adapters.runtime.logs import about
from cardwatch.events import Action

log = logging.getLogger(__name__)


class AlertOutcome(StrEnum):
    """Fraud that was challenged or declined is caught; a genuine payment that was, is a false alarm."""

    CAUGHT = "caught"
    MISSED = "missed"
    FALSE_ALARM = "false_alarm"
    PASSED = "passed"


class Sum(NamedTuple):
    """How many transactions, and their amount in minor units."""

    transactions: int
    amount_minor: int


Outcomes = Mapping[tuple[AlertOutcome, str], Sum]
"""By outcome and currency."""


def outcomes(decisions: pa.Table, transactions: pa.Table, labels: pa.Table) -> Outcomes:
    """The outcomes of these decisions, by the newest of the labels; without a label a transaction is genuine.

    `transactions` tells the currencies; both tables are in log order and may hold more than the other.
    """
    frauds = frozenset(fraud_ids(labels).to_pylist())
    places = zip(transactions["partition"].to_pylist(), transactions["log_offset"].to_pylist(), strict=True)
    currency_at: dict[tuple[Any, Any], Any] = dict(zip(places, transactions["currency"].to_pylist(), strict=True))
    sums: defaultdict[tuple[AlertOutcome, str], Sum] = defaultdict(lambda: Sum(0, 0))
    rows = decisions.select(["partition", "log_offset", "transaction_id", "action", "amount_minor"]).to_pylist()
    for row in rows:
        alarmed = row["action"] != Action.APPROVE.value
        outcome = _outcome(alarmed=alarmed, is_fraud=row["transaction_id"] in frauds)
        key = outcome, currency_at.get((row["partition"], row["log_offset"]), "")
        known = sums[key]
        sums[key] = Sum(known.transactions + 1, known.amount_minor + row["amount_minor"])
        if outcome is not AlertOutcome.PASSED:
            log.debug("%s, %s", outcome.value, row["action"], extra=about(row["transaction_id"]))
    return dict(sums)


def in_words(found: Outcomes) -> str:
    """Counts and sums in one line, each outcome with its currencies."""
    parts = []
    for outcome in AlertOutcome:
        sums = {currency: total for (kind, currency), total in sorted(found.items()) if kind is outcome}
        amounts = ", ".join(f"{total.amount_minor} {currency}" for currency, total in sums.items())
        count = sum(total.transactions for total in sums.values())
        parts.append(f"{count} {outcome.value}" + (f" ({amounts})" if amounts else ""))
    return ", ".join(parts) + ", amounts in minor units"


def _outcome(*, alarmed: bool, is_fraud: bool) -> AlertOutcome:
    if is_fraud:
        return AlertOutcome.CAUGHT if alarmed else AlertOutcome.MISSED
    return AlertOutcome.FALSE_ALARM if alarmed else AlertOutcome.PASSED
