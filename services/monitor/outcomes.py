"""Outcomes of a day's decisions once its labels are mature: fraud caught or missed, false alarms, payments passed."""

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
    """Fraud that was challenged or declined is caught; a genuine payment that was challenged is a false alarm."""

    CAUGHT = "caught"
    MISSED = "missed"
    FALSE_ALARM = "false_alarm"
    PASSED = "passed"


class OutcomeTotal(NamedTuple):
    """Number of transactions, and the sum of their amounts in minor units."""

    transactions: int
    amount_minor: int


Outcomes = Mapping[tuple[AlertOutcome, str], OutcomeTotal]
"""Totals by outcome and currency."""


def count_outcomes(decisions: pa.Table, transactions: pa.Table, labels: pa.Table) -> Outcomes:
    """Return the outcomes of `decisions` by the newest of their labels; without a label a transaction is genuine.

    `transactions` provides the currencies. It may lack rows of `decisions` and hold others.
    """
    frauds = frozenset(fraud_ids(labels).to_pylist())
    positions = zip(transactions["partition"].to_pylist(), transactions["log_offset"].to_pylist(), strict=True)
    currency_at: dict[tuple[Any, Any], Any] = dict(zip(positions, transactions["currency"].to_pylist(), strict=True))
    totals: defaultdict[tuple[AlertOutcome, str], OutcomeTotal] = defaultdict(lambda: OutcomeTotal(0, 0))
    rows = decisions.select(["partition", "log_offset", "transaction_id", "action", "amount_minor"]).to_pylist()
    for row in rows:
        alarmed = row["action"] != Action.APPROVE.value
        outcome = _outcome(alarmed=alarmed, is_fraud=row["transaction_id"] in frauds)
        key = outcome, currency_at.get((row["partition"], row["log_offset"]), "")
        total = totals[key]
        totals[key] = OutcomeTotal(total.transactions + 1, total.amount_minor + row["amount_minor"])
        if outcome is not AlertOutcome.PASSED:
            log.debug("%s, %s", outcome.value, row["action"], extra=about(row["transaction_id"]))
    return dict(totals)


def summarize(outcomes: Outcomes) -> str:
    """Return counts and amounts in one line, each outcome with its currencies."""
    parts = []
    for outcome in AlertOutcome:
        totals = {currency: total for (kind, currency), total in sorted(outcomes.items()) if kind is outcome}
        amounts = ", ".join(f"{total.amount_minor} {currency}" for currency, total in totals.items())
        count = sum(total.transactions for total in totals.values())
        parts.append(f"{count} {outcome.value}" + (f" ({amounts})" if amounts else ""))
    return ", ".join(parts) + ", amounts in minor units"


def _outcome(*, alarmed: bool, is_fraud: bool) -> AlertOutcome:
    if is_fraud:
        return AlertOutcome.CAUGHT if alarmed else AlertOutcome.MISSED
    return AlertOutcome.FALSE_ALARM if alarmed else AlertOutcome.PASSED
