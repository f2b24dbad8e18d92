"""Compute the columns of each section of a reference table: counts, risks, runs of fraud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.distinct_pairs import count_partners
from cardwatch.features.known_frauds import KnownFrauds
from cardwatch.features.reference_days import (
    LOW_BITS,
    CountedEntities,
    DayOfTransactions,
    add_to,
    count,
    distinct,
    firsts,
    pairs,
)
from cardwatch.features.reference_table import DAY_MS, WINDOW_DAYS, Hashes, TableSection

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Matrix = NDArray[np.int64]
"""Numbers per day and entity, int64 [days, n]. Row 0 is the day before the table."""

PRIOR_TRANSACTIONS: Final = 20.0
"""Shrinkage: with this many transactions an entity's own fraud rate has the same weight as the base rate."""
MIN_BASE_RATE: Final = 1e-4
"""Lower bound of the base rate, so that risks stay finite while no fraud is known."""
_WEEK_DAYS: Final = 7


class Window(NamedTuple):
    """The input of a table: the transactions of the `days` before `day`, the newest first, and the known frauds.

    A day without transactions is None. Labels of the newest `maturity_days` are not complete.
    """

    day: int
    maturity_days: int
    days: Sequence[DayOfTransactions | None]
    frauds: KnownFrauds

    @property
    def present(self) -> list[DayOfTransactions]:
        """The days with transactions, the newest first."""
        return [day for day in self.days if day is not None]

    def frauds_per_day(self, entities: Hashes, of_frauds: Hashes) -> Matrix:
        """Return the known frauds of each entity; `of_frauds`: the entity of each known fraud."""
        total = np.zeros((len(self.days), len(entities)), np.int64)
        ages = self.day - 1 - self.frauds.occurred_at_ms // DAY_MS
        at, is_known = _positions(entities, of_frauds)
        np.add.at(total, (ages[is_known], at[is_known]), 1)
        return total


def merchants(window: Window) -> TableSection:
    """Return the merchants with transactions, `MERCHANT_VALUES`."""
    frauds, days = window.frauds, window.days
    entities = distinct(_joined([day.merchants.hashes for day in window.present]))
    counts = _per_day(entities, days, lambda day: day.merchants)
    amounts = _per_day(entities, days, lambda day: CountedEntities(day.merchants.hashes, day.amounts))
    known = window.frauds_per_day(entities, frauds.merchant)
    local = window.frauds_per_day(entities, _merchants_of_local_frauds(frauds))
    month = counts[:WINDOW_DAYS].sum(axis=0)
    return _section(
        entities,
        *_risks(window, counts, known),
        _days_since_newest(known),
        *_fraud_runs(counts, known, local, window.maturity_days),
        _partners(entities, [pairs(frauds.merchant, frauds.card)]),
        counts[0],
        counts[:_WEEK_DAYS].sum(axis=0) / _WEEK_DAYS,
        month / WINDOW_DAYS,
        amounts[:WINDOW_DAYS].sum(axis=0) / np.maximum(month, 1),
    )


def devices(window: Window) -> TableSection:
    """Return the devices with transactions, `DEVICE_VALUES`."""
    entities = distinct(_joined([day.devices.hashes for day in window.present]))
    counts = _per_day(entities, window.days, lambda day: day.devices)
    known = window.frauds_per_day(entities, window.frauds.device)
    newest = window.days[0]
    used_1d = [] if newest is None else [newest.device_cards]
    first_use = len(window.days) - np.argmax(counts[::-1] > 0, axis=0)
    return _section(
        entities,
        _partners(entities, [day.device_cards for day in window.present]),
        known.sum(axis=0),
        counts[0],
        _partners(entities, used_1d),
        first_use,
    )


def _section(entities: Hashes, *columns: NDArray[np.number]) -> TableSection:
    values = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    return TableSection(entities, values.astype(np.float32))


def _joined(hashes: Sequence[Hashes]) -> Hashes:
    return np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)


def _positions(entities: Hashes, hashes: Hashes) -> tuple[Counts, NDArray[np.bool_]]:
    """Return the position of each hash in `entities`, which are sorted, and whether it is there."""
    if not len(entities):
        return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), np.bool_)
    at = np.minimum(np.searchsorted(entities, hashes), len(entities) - 1)
    return at, entities[at] == hashes


def _per_day(
    entities: Hashes, days: Sequence[DayOfTransactions | None], counted: Callable[[DayOfTransactions], CountedEntities]
) -> Matrix:
    total = np.zeros((len(days), len(entities)), np.int64)
    for row, day in zip(total, days, strict=True):
        if day is not None:
            add_to(row, entities, counted(day))
    return total


def _partners(entities: Hashes, parts: Sequence[Hashes]) -> Counts:
    """Return how many of the distinct pairs each entity is the first of, by the low bits of its hash."""
    low_bits = entities & LOW_BITS
    distinct_bits = distinct(low_bits)
    partners: Counts = count_partners(parts, distinct_bits)[np.searchsorted(distinct_bits, low_bits)]
    return partners


def _risks(window: Window, counts: Matrix, frauds: Matrix) -> tuple[Floats, Floats, Floats]:
    """Return the risk of the days with incomplete labels, and of the last 7 and 30 days before these."""
    young = window.maturity_days

    def risk(first: int, stop: int) -> Floats:
        return _relative_risk(frauds[first:stop].sum(axis=0), counts[first:stop].sum(axis=0))

    return risk(0, young), risk(young, young + _WEEK_DAYS), risk(young, young + WINDOW_DAYS)


def _relative_risk(frauds: Counts, counts: Counts) -> Floats:
    base_rate = max(float(frauds.sum()) / max(float(counts.sum()), 1.0), MIN_BASE_RATE)
    shrunk: Floats = (frauds + PRIOR_TRANSACTIONS * base_rate) / (counts + PRIOR_TRANSACTIONS)
    return shrunk / base_rate


def _days_since_newest(frauds: Matrix) -> Floats:
    """Return the days from each entity's newest fraud to the table, at least 1, NaN without one."""
    newest = np.argmax(frauds > 0, axis=0) + 1.0
    return np.where(frauds.any(axis=0), newest, np.nan)


def _merchants_of_local_frauds(frauds: KnownFrauds) -> Hashes:
    """Return the merchant of each known fraud, 0 where the card has known fraud at another merchant too."""
    merchants = count(firsts(distinct(pairs(frauds.card, frauds.merchant))))
    is_local = np.isin(frauds.card & LOW_BITS, merchants.hashes[merchants.counts == 1])
    local: Hashes = np.where(is_local, frauds.merchant, np.uint64(0))
    return local


def _fraud_runs(counts: Matrix, frauds: Matrix, local: Matrix, maturity_days: int) -> tuple[Counts, Counts, Counts]:
    """Return of each entity's newest run of days with fraud the frauds, the days since it began, and the local frauds.

    All are 0 without a run. `local`: the frauds of cards that have no known fraud at another merchant.

    A day with complete labels ends the run if at most half of its transactions are fraud. Days without transactions,
    and days without fraud whose labels are not complete, neither end nor prolong it.
    """
    run, began, run_local = (np.zeros(counts.shape[1], np.int64) for _ in range(3))
    is_open = np.ones(counts.shape[1], np.bool_)
    for age, (of_day, fraud) in enumerate(zip(counts, frauds, strict=True)):
        if age >= maturity_days:
            is_open &= (of_day == 0) | (2 * fraud > of_day)
        in_run = is_open & (fraud > 0)
        run += np.where(in_run, fraud, 0)
        run_local += np.where(in_run, local[age], 0)
        began = np.where(in_run, age + 1, began)
    return run, began, run_local
