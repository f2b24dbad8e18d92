"""Outcomes of a day's decisions once its labels are mature: fraud caught or missed, false alarms, payments passed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa

from adapters.archive.outcome_states import states_of
from adapters.runtime.logs import about
from cardwatch.events import Action
from cardwatch.label_states import LabelState

log = logging.getLogger(__name__)


class AlertOutcome(StrEnum):
    """What became of a decision.

    Declined fraud is caught and approved fraud is missed. Challenged fraud is caught in part: in the share of fraud
    that a challenge stops. A genuine payment that was challenged or declined is a false alarm. The outcome of a
    declined transaction without a label is unknown, and stays so.
    """

    CAUGHT = "caught"
    MISSED = "missed"
    FALSE_ALARM = "false_alarm"
    PASSED = "passed"
    UNKNOWN = "unknown"


class OutcomeTotal(NamedTuple):
    """Number of transactions, and the sum of their amounts in minor units. Challenged fraud is split into parts."""

    transactions: float
    amount_minor: float


Outcomes = Mapping[tuple[AlertOutcome, str], OutcomeTotal]
"""Totals by outcome and currency."""


def count_outcomes(
    decisions: pa.Table, transactions: pa.Table, labels: pa.Table, *, challenge_stops_fraud: float
) -> Outcomes:
    """Return the outcomes of mature `decisions` by the newest of their labels, see `cardwatch.label_states`.

    `transactions` provides the currencies. It may lack rows of `decisions` and hold others. `challenge_stops_fraud`:
    the share of fraud that a challenge stops, in 0..1, from the decision policy.
    """
    positions = zip(transactions["partition"].to_pylist(), transactions["log_offset"].to_pylist(), strict=True)
    currency_at: dict[tuple[Any, Any], Any] = dict(zip(positions, transactions["currency"].to_pylist(), strict=True))
    totals: defaultdict[tuple[AlertOutcome, str], OutcomeTotal] = defaultdict(lambda: OutcomeTotal(0, 0))
    rows = decisions.select(["partition", "log_offset", "transaction_id", "action", "amount_minor"]).to_pylist()
    states = states_of(decisions, labels, date.max, 0).tolist()
    for row, state in zip(rows, states, strict=True):
        currency = currency_at.get((row["partition"], row["log_offset"]), "")
        for outcome, part in _parts(Action(row["action"]), LabelState(state), challenge_stops_fraud):
            total = totals[outcome, currency]
            totals[outcome, currency] = OutcomeTotal(
                total.transactions + part, total.amount_minor + part * row["amount_minor"]
            )
            if outcome is not AlertOutcome.PASSED:
                log.debug("%s, %s", outcome.value, row["action"], extra=about(row["transaction_id"]))
    return dict(totals)


def summarize(outcomes: Outcomes) -> str:
    """Return counts and amounts in one line, each outcome with its currencies."""
    parts = []
    for outcome in AlertOutcome:
        totals = {currency: total for (kind, currency), total in sorted(outcomes.items()) if kind is outcome}
        amounts = ", ".join(f"{total.amount_minor:.0f} {currency}" for currency, total in totals.items())
        count = sum(total.transactions for total in totals.values())
        shown = f"{count:.0f}" if count == round(count) else f"{count:.1f}"
        parts.append(f"{shown} {outcome.value}" + (f" ({amounts})" if amounts else ""))
    return ", ".join(parts) + ", amounts in minor units"


def _parts(action: Action, state: LabelState, challenge_stops_fraud: float) -> Iterator[tuple[AlertOutcome, float]]:
    """Yield the outcomes of a decision with their parts, which add up to 1."""
    if state is LabelState.CENSORED:
        yield AlertOutcome.UNKNOWN, 1
    elif state is not LabelState.KNOWN_FRAUD:
        yield AlertOutcome.PASSED if action is Action.APPROVE else AlertOutcome.FALSE_ALARM, 1
    elif action is Action.CHALLENGE and challenge_stops_fraud < 1:
        yield AlertOutcome.CAUGHT, challenge_stops_fraud
        yield AlertOutcome.MISSED, 1 - challenge_stops_fraud
    else:
        yield AlertOutcome.MISSED if action is Action.APPROVE else AlertOutcome.CAUGHT, 1
