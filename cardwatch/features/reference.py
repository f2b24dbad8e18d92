"""Reference tables: what the features need that is not keyed by card. One immutable table per event day.

The table for day D rests on transactions that happened before D and labels observed before D, and says which label-log
position it has seen. Its id is a hash of its content: the id in a decision is enough to find the very same table again.
A label that comes late changes the next table, never an old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.events import to_epoch_ms

DAY_MS: Final = 86_400_000
WINDOW_DAYS: Final = 30
PRIOR_TRANSACTIONS: Final = 200.0
"""Shrinkage: a merchant's fraud rate counts as much as the base rate once it rests on this many transactions."""
LEAST_BASE_RATE: Final = 1e-4

MERCHANT_VALUES: Final = 4
"""Per merchant: risk over 30 days, transactions yesterday, a day over 7 days, a day over 30 days."""


class _Content(Struct, frozen=True, kw_only=True):
    valid_from_day: int
    label_positions: dict[str, int]
    merchants: bytes
    values: bytes


class ReferenceTable:
    """Merchant risk and activity as known at the start of one UTC day.

    `merchants`: uint64 [m], sorted hashes. `values`: float32 [m, 4], see `MERCHANT_VALUES`. A merchant that is not in
    the table has risk 1 (the base rate) and activity 0.
    """

    def __init__(
        self,
        valid_from_day: int,
        merchants: NDArray[np.uint64],
        values: NDArray[np.float32],
        label_positions: Mapping[str, int] | None = None,
    ) -> None:
        self.valid_from_day = valid_from_day
        self.merchants = np.array(merchants, np.uint64)
        self.values = np.array(values, np.float32).reshape(-1, MERCHANT_VALUES)
        self.label_positions = dict(sorted((label_positions or {}).items()))
        self.table_id = hashlib.sha256(self.to_bytes()).hexdigest()[:32]

    @property
    def valid_from(self) -> datetime:
        """The start of the day from which on transactions use this table."""
        return datetime.fromtimestamp(self.valid_from_day * 86_400, UTC)

    def to_bytes(self) -> bytes:
        """The stored form; equal tables give equal bytes."""
        return msgspec.msgpack.encode(
            _Content(
                valid_from_day=self.valid_from_day,
                label_positions=self.label_positions,
                merchants=self.merchants.tobytes(),
                values=self.values.tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ReferenceTable:
        """The inverse of `to_bytes`; raises `msgspec.DecodeError` for anything else."""
        content = msgspec.msgpack.decode(data, type=_Content)
        return cls(
            content.valid_from_day,
            np.frombuffer(content.merchants, np.uint64),
            np.frombuffer(content.values, np.float32),
            content.label_positions,
        )

    @classmethod
    def empty(cls, valid_from_day: int = 0) -> ReferenceTable:
        """What is known before the first day."""
        return cls(valid_from_day, np.zeros(0, np.uint64), np.zeros((0, MERCHANT_VALUES), np.float32))


class ReferenceBuilder:
    """Collects transactions and labels, and builds the table of any day from them, whatever the order they came in."""

    def __init__(self) -> None:
        self._counts: dict[int, list[tuple[NDArray[np.uint64], NDArray[np.int64]]]] = {}
        self._frauds: dict[str, _Fraud] = {}
        self._label_positions: dict[str, int] = {}

    def add_transactions(self, merchant_hashes: NDArray[np.uint64], occurred_at_ms: NDArray[np.int64]) -> None:
        """Count these transactions on their event days."""
        days = occurred_at_ms // DAY_MS
        for day in np.unique(days).tolist():
            counted = np.unique(merchant_hashes[days == day], return_counts=True)
            self._counts.setdefault(day, []).append(counted)

    def add_fraud(
        self, transaction_id: str, merchant_hash: int, *, effective_at: datetime, observed_at: datetime
    ) -> None:
        """Count a transaction as fraud on the day it happened, for tables from the day after it was first observed."""
        fraud = _Fraud(merchant_hash, to_epoch_ms(effective_at) // DAY_MS, to_epoch_ms(observed_at) // DAY_MS)
        known = self._frauds.get(transaction_id)
        if known is None or fraud.observed_day < known.observed_day:
            self._frauds[transaction_id] = fraud

    def saw_labels_up_to(self, partition: int, position: int) -> None:
        """Record the label-log position that the next table rests on."""
        self._label_positions[str(partition)] = position

    def build(self, valid_from: date) -> ReferenceTable:
        """The table for transactions from `valid_from` on (UTC). Days go in order: what is too old is forgotten."""
        day = (valid_from - date(1970, 1, 1)).days
        self._forget_before(day - WINDOW_DAYS)
        merchants = np.unique(np.concatenate([_NONE, *(names for names, _, _ in self._before(day))]))
        totals = {days: self._total(merchants, day - days, day) for days in (1, 7, WINDOW_DAYS)}
        values = np.stack(
            [
                _relative_risk(self._known_frauds(merchants, day), totals[WINDOW_DAYS]),
                totals[1],
                totals[7] / 7.0,
                totals[WINDOW_DAYS] / float(WINDOW_DAYS),
            ],
            axis=1,
        )
        return ReferenceTable(day, merchants, values.astype(np.float32), self._label_positions)

    def _before(self, day: int) -> list[tuple[NDArray[np.uint64], NDArray[np.int64], int]]:
        return [(*part, d) for d, parts in sorted(self._counts.items()) if d < day for part in parts]

    def _total(self, merchants: NDArray[np.uint64], first: int, stop: int) -> NDArray[np.float64]:
        total = np.zeros(len(merchants))
        for names, counts, day in self._before(stop):
            if day >= first:
                total[np.searchsorted(merchants, names)] += counts
        return total

    def _known_frauds(self, merchants: NDArray[np.uint64], day: int) -> NDArray[np.float64]:
        known = np.array(
            [f.merchant_hash for f in self._frauds.values() if f.observed_day < day and f.effective_day < day],
            np.uint64,
        )
        known = known[np.isin(known, merchants)]
        return np.bincount(np.searchsorted(merchants, known), minlength=len(merchants)).astype(np.float64)

    def _forget_before(self, day: int) -> None:
        self._counts = {d: counts for d, counts in self._counts.items() if d >= day}
        self._frauds = {name: fraud for name, fraud in self._frauds.items() if fraud.effective_day >= day}


class _Fraud(NamedTuple):
    merchant_hash: int
    effective_day: int
    observed_day: int


_NONE: Final[NDArray[np.uint64]] = np.zeros(0, np.uint64)


def _relative_risk(frauds: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    base_rate = max(float(frauds.sum()) / max(float(counts.sum()), 1.0), LEAST_BASE_RATE)
    shrunk: NDArray[np.float64] = (frauds + PRIOR_TRANSACTIONS * base_rate) / (counts + PRIOR_TRANSACTIONS)
    return shrunk / base_rate
