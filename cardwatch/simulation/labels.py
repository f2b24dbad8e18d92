"""Simulated labels: who reports a fraud, and how many days later."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import LabelSource
from cardwatch.simulation.transaction_array import DAY_MS, TransactionArray, Typology

Floats = NDArray[np.float64]
LabelArray = NDArray[np.void]
"""A structured array of dtype `LABEL`."""

MATURITY_DAYS: Final = 5
"""All but about 1 % of frauds are reported within this many days."""

SOURCES: Final = (LabelSource.CUSTOMER, LabelSource.CHARGEBACK, LabelSource.INVESTIGATOR)
"""By the numbers in the column `source`."""
_CUSTOMER, _CHARGEBACK, _INVESTIGATOR = range(3)

_LATE_PROBABILITY: Final = 0.01
_CUSTOMER_SHARE, _CHARGEBACK_SHARE = 0.55, 0.35
_SUSPICIOUS_MINOR: Final = 20_000
_SUSPICIOUS_CLEARED_SHARE, _CLEARED_SHARE = 0.01, 0.0002
"""Share of genuine transactions that an investigator clears: above the suspicious amount, and at or below it."""
_EARLIEST_DAYS, _LATEST_DAYS = 0.05, 4.95

LABEL: Final = np.dtype(
    [
        ("observed_at_ms", "<i8"),
        ("effective_at_ms", "<i8"),
        ("day", "<i8"),
        ("number", "<i8"),
        ("card", "<i8"),
        ("merchant_number", "<i8"),
        ("is_fraud", "?"),
        ("source", "<i1"),
    ]
)
"""Labels of transaction `number` of day number `day`."""


def simulate_labels(rng: np.random.Generator, day: int, transactions: TransactionArray) -> LabelArray:
    """Return the labels of the transactions of day number `day`, each with the time at which it is observed.

    Every fraud is reported once: by the customer (early), an investigator (within two days) or a chargeback (late). A
    bust-out is found by an investigator, because its holder does not report it, and friendly fraud is a chargeback.
    A few genuine transactions are cleared by an investigator, large ones more often. Declined transactions are labelled
    as well: the simulation does not see Cardwatch's decisions, so there is no selection bias.
    """
    draw, delay_days = rng.random(len(transactions)), _delays(rng, len(transactions))
    is_fraud = transactions["typology"] != Typology.GENUINE
    is_suspicious = transactions["amount_minor"] > _SUSPICIOUS_MINOR
    cleared = draw < np.where(is_suspicious, _SUSPICIOUS_CLEARED_SHARE, _CLEARED_SHARE)
    source = np.where(
        draw < _CUSTOMER_SHARE,
        _CUSTOMER,
        np.where(draw < _CUSTOMER_SHARE + _CHARGEBACK_SHARE, _CHARGEBACK, _INVESTIGATOR),
    )
    source[~is_fraud | (transactions["typology"] == Typology.BUST_OUT)] = _INVESTIGATOR
    source[transactions["typology"] == Typology.FRIENDLY_FRAUD] = _CHARGEBACK
    number = np.flatnonzero(is_fraud | cleared)
    labelled = transactions[number]
    labels = np.empty(len(number), LABEL)
    labels["effective_at_ms"] = labelled["occurred_at_ms"]
    delay_ms = np.rint(delay_days[source[number], number] * DAY_MS).astype(np.int64)
    labels["observed_at_ms"] = labelled["occurred_at_ms"] + delay_ms
    labels["day"], labels["number"] = day, number
    labels["card"], labels["merchant_number"] = labelled["card"], labelled["merchant_number"]
    labels["is_fraud"], labels["source"] = is_fraud[number], source[number]
    return labels


class PendingLabels:
    """Labels until they are observed. It holds those of a few days only, however long the simulation is."""

    def __init__(self) -> None:
        self._labels = np.empty(0, LABEL)

    def add(self, labels: LabelArray) -> None:
        """Keep labels until their time."""
        self._labels = np.concatenate([self._labels, labels])

    def take_before(self, end_ms: int) -> LabelArray:
        """Remove the labels that are observed before `end_ms`, and return them in order of time."""
        is_due = self._labels["observed_at_ms"] < end_ms
        due, self._labels = self._labels[is_due], self._labels[~is_due]
        ordered: LabelArray = due[np.lexsort((due["number"], due["day"], due["observed_at_ms"]))]
        return ordered

    def __len__(self) -> int:
        """Return how many labels are not observed yet."""
        return len(self._labels)


def _delays(rng: np.random.Generator, count: int) -> Floats:
    """Draw the days from transaction to label: one row per source (customer, chargeback, investigator)."""
    customer = rng.lognormal(-0.1, 0.7, count)
    chargeback = rng.uniform(2.0, _LATEST_DAYS, count)
    investigator = rng.uniform(0.1, 1.8, count)
    delays = np.clip(np.stack([customer, chargeback, investigator]), _EARLIEST_DAYS, _LATEST_DAYS)
    late = rng.random(count) < _LATE_PROBABILITY
    return np.where(late, rng.uniform(MATURITY_DAYS, 8.9, count), delays)
