"""Simulated labels: who reports a fraud, and how many days later."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.simulation.label_array import CHARGEBACK, CUSTOMER, INVESTIGATOR, LABEL, Floats, LabelArray, label_array
from cardwatch.simulation.label_settings import (
    CHARGEBACK_DAYS,
    CHARGEBACK_SHARE,
    CLIPPED_DAYS,
    CUSTOMER_LOG_DEVIATION,
    CUSTOMER_LOG_MEAN,
    CUSTOMER_SHARE,
    INVESTIGATOR_DAYS,
    LATE_DAYS,
    LATE_PROBABILITY,
    DayRange,
    LabelSettings,
)
from cardwatch.simulation.transaction_array import Ints, TransactionArray, Typology

_SUSPICIOUS_MINOR: Final = 20_000
_SUSPICIOUS_CLEARED_SHARE, _CLEARED_SHARE = 0.01, 0.0002
"""Share of genuine transactions that an investigator clears: above the suspicious amount, and at or below it."""
_ALL_DRAWS: Final = 7
"""Random numbers per transaction that decide what the settings change. One for each purpose, so that a simulation
differs from another one with other settings only in what these settings are about."""


def simulate_labels(
    rng: np.random.Generator,
    more: np.random.Generator,
    day: int,
    transactions: TransactionArray,
    settings: LabelSettings,
) -> LabelArray:
    """Return the labels of the transactions of day number `day`, each with the time at which it is observed.

    Fraud is reported by the customer (early), an investigator (within two days) or a chargeback (late). A bust-out is
    found by an investigator, because its holder does not report it, and friendly fraud is a chargeback. A few genuine
    transactions are cleared by an investigator, large ones more often. `settings` say how late chargebacks are, what is
    never reported, and which labels are wrong; a correction is a second label of the same transaction. Their draws come
    from `more`, so that all others stay as they are.

    These are the labels that follow if everything is approved; `select_labels` gives those after decisions.
    """
    draw, delay_days = rng.random(len(transactions)), _delays(rng, len(transactions))
    typology = transactions["typology"]
    is_fraud = typology != Typology.GENUINE
    is_suspicious = transactions["amount_minor"] > _SUSPICIOUS_MINOR
    cleared = ~is_fraud & (draw < np.where(is_suspicious, _SUSPICIOUS_CLEARED_SHARE, _CLEARED_SHARE))
    source = np.where(
        draw < CUSTOMER_SHARE,
        CUSTOMER,
        np.where(draw < CUSTOMER_SHARE + CHARGEBACK_SHARE, CHARGEBACK, INVESTIGATOR),
    )
    source[~is_fraud | (typology == Typology.BUST_OUT)] = INVESTIGATOR
    source[typology == Typology.FRIENDLY_FRAUD] = CHARGEBACK
    if settings == LabelSettings():
        return label_array(day, transactions, is_fraud | cleared, is_fraud, source, _of_source(delay_days, source))

    is_disputed = typology == Typology.FRIENDLY_FRAUD
    chargeback, dispute, unreported, false_report, false_clearance, corrected, later = more.random(
        (_ALL_DRAWS, len(transactions))
    )
    if settings.chargeback_days is not None:
        delay_days[CHARGEBACK] = _log_uniform(chargeback, settings.scaled(settings.chargeback_days))
    if settings.friendly_fraud_days is not None:
        days = _log_uniform(dispute, settings.scaled(settings.friendly_fraud_days))
        delay_days[CHARGEBACK] = np.where(is_disputed, days, delay_days[CHARGEBACK])
    is_reported = is_fraud & (is_disputed | (unreported >= settings.unreported_share))
    is_accused = ~is_fraud & (false_report < settings.false_report_share)
    is_excused = is_reported & ~is_disputed & (false_clearance < settings.false_clearance_share)
    source[is_accused], source[is_excused] = CUSTOMER, INVESTIGATOR
    observed_days = _of_source(delay_days, source)
    says_fraud = (is_reported & ~is_excused) | is_accused
    first = label_array(day, transactions, is_reported | cleared | is_accused, says_fraud, source, observed_days)

    is_corrected = (is_accused | is_excused) & (corrected < settings.corrected_share)
    corrector = np.where(is_accused, INVESTIGATOR, CHARGEBACK)
    corrected_days = observed_days + _log_uniform(later, settings.scaled(settings.correction_days))
    return np.concatenate([first, label_array(day, transactions, is_corrected, is_fraud, corrector, corrected_days)])


def newest_labels(labels: LabelArray) -> LabelArray:
    """Return of each transaction of one day the label that is observed last, in order of the transactions."""
    ordered = labels[np.lexsort((labels["observed_at_ms"], labels["number"]))]
    is_newest = np.append(ordered["number"][1:] != ordered["number"][:-1], True)[: len(ordered)]
    newest: LabelArray = ordered[is_newest]
    return newest


class PendingLabels:
    """Labels until they are observed. It holds those of as many days as the slowest label takes, however long the
    simulation is."""

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


def _of_source(delay_days: Floats, source: Ints) -> Floats:
    days: Floats = delay_days[source, np.arange(len(source))]
    return days


def _log_uniform(draw: Floats, days: DayRange) -> Floats:
    """Return delays in days from uniform draws in 0..1; the median is the geometric mean of both ends."""
    delays: Floats = days[0] * (days[1] / days[0]) ** draw
    return delays


def _delays(rng: np.random.Generator, count: int) -> Floats:
    """Draw the days from transaction to label: one row per source (customer, chargeback, investigator)."""
    customer = rng.lognormal(CUSTOMER_LOG_MEAN, CUSTOMER_LOG_DEVIATION, count)
    chargeback = rng.uniform(*CHARGEBACK_DAYS, count)
    investigator = rng.uniform(*INVESTIGATOR_DAYS, count)
    delays = np.clip(np.stack([customer, chargeback, investigator]), *CLIPPED_DAYS)
    late = rng.random(count) < LATE_PROBABILITY
    return np.where(late, rng.uniform(*LATE_DAYS, count), delays)
