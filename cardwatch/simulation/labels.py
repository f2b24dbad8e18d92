"""Simulated labels: who reports a fraud, and how many days later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import Label, LabelSource, Transaction

Floats = NDArray[np.float64]

MATURITY_DAYS: Final = 5
"""All but about 1 % of frauds are reported within this many days."""

_LATE_PROBABILITY: Final = 0.01
_CUSTOMER_SHARE, _CHARGEBACK_SHARE = 0.55, 0.35
_SUSPICIOUS_MINOR: Final = 20_000
_SUSPICIOUS_CLEARED_SHARE, _CLEARED_SHARE = 0.01, 0.0002
"""Share of genuine transactions that an investigator clears: above the suspicious amount, and at or below it."""
_EARLIEST_DAYS, _LATEST_DAYS = 0.05, 4.95


def simulate_labels(
    rng: np.random.Generator, transactions: Sequence[Transaction], is_fraud: NDArray[np.bool_]
) -> list[Label]:
    """Return the labels of these transactions, each with the time at which it is observed.

    Every fraud is reported once: by the customer (early), an investigator (within two days) or a chargeback (late).
    A few genuine transactions are cleared by an investigator, large ones more often. Declined transactions are labelled
    as well: the simulation does not see Cardwatch's decisions, so there is no selection bias.
    """
    draw, delay_days = rng.random(len(transactions)), _delays(rng, len(transactions))
    amount = np.array([transaction.amount_minor for transaction in transactions])
    cleared = draw < np.where(amount > _SUSPICIOUS_MINOR, _SUSPICIOUS_CLEARED_SHARE, _CLEARED_SHARE)
    sources = np.where(draw < _CUSTOMER_SHARE, 0, np.where(draw < _CUSTOMER_SHARE + _CHARGEBACK_SHARE, 1, 2))
    labels = []
    for index in np.flatnonzero(is_fraud | cleared).tolist():
        fraud = bool(is_fraud[index])
        source = int(sources[index]) if fraud else 2
        labels.append(_label(transactions[index], fraud, source, float(delay_days[source, index])))
    return labels


def _delays(rng: np.random.Generator, count: int) -> Floats:
    """Draw the days from transaction to label: one row per source (customer, chargeback, investigator)."""
    customer = rng.lognormal(-0.1, 0.7, count)
    chargeback = rng.uniform(2.0, _LATEST_DAYS, count)
    investigator = rng.uniform(0.1, 1.8, count)
    delays = np.clip(np.stack([customer, chargeback, investigator]), _EARLIEST_DAYS, _LATEST_DAYS)
    late = rng.random(count) < _LATE_PROBABILITY
    return np.where(late, rng.uniform(MATURITY_DAYS, 8.9, count), delays)


_SOURCES: Final = (LabelSource.CUSTOMER, LabelSource.CHARGEBACK, LabelSource.INVESTIGATOR)


def _label(transaction: Transaction, is_fraud: bool, source: int, delay_days: float) -> Label:
    return Label(
        transaction_id=transaction.transaction_id,
        card_id=transaction.card_id,
        merchant_id=transaction.merchant_id,
        is_fraud=is_fraud,
        effective_at=transaction.occurred_at,
        observed_at=transaction.occurred_at + timedelta(milliseconds=round(delay_days * 86_400_000)),
        source=_SOURCES[source],
    )
