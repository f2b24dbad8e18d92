"""Reference tables: the merchant data that features need. One immutable table per event day.

The table for day D is built from transactions that occurred before D and labels observed before D, and records the
label-log positions that it covers. Its id is a hash of its content, so the id in a decision identifies the exact table.
A late label changes the next table, never an existing one.
"""

from __future__ import annotations

import hashlib
from bisect import insort
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
"""Length of the longest window in days."""
PRIOR_TRANSACTIONS: Final = 200.0
"""Shrinkage: with this many transactions a merchant's own fraud rate has the same weight as the base rate."""
MIN_BASE_RATE: Final = 1e-4
"""Lower bound of the base rate, so that risks stay finite while no fraud is known."""

MERCHANT_VALUES: Final = ("risk_1d", "risk_7d", "risk_30d", "count_1d", "count_7d", "count_30d", "mean_amount_30d")
"""Columns of a table: relative risk per window, transactions a day per window, mean amount in minor units."""


class _Content(Struct, frozen=True, kw_only=True):
    values_of: tuple[str, ...]
    valid_from_day: int
    label_positions: dict[str, int]
    merchants: bytes
    values: bytes


class ReferenceTable:
    """Merchant risk and activity as known at the start of one UTC day.

    `merchants`: uint64 [m], sorted identity hashes. `values`: float32 [m, 7], columns `MERCHANT_VALUES`; a risk is a
    ratio to the base rate, higher is riskier. A merchant that is not in the table has risk 1, activity 0 and no mean.
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
        self.values = np.array(values, np.float32).reshape(-1, len(MERCHANT_VALUES))
        self.label_positions = dict(sorted((label_positions or {}).items()))
        self.table_id = hashlib.sha256(self.to_bytes()).hexdigest()[:32]

    @property
    def valid_from(self) -> datetime:
        """The start of the first day whose transactions use this table."""
        return datetime.fromtimestamp(self.valid_from_day * 86_400, UTC)

    def to_bytes(self) -> bytes:
        """Return the stored form; equal tables give equal bytes."""
        return msgspec.msgpack.encode(
            _Content(
                values_of=MERCHANT_VALUES,
                valid_from_day=self.valid_from_day,
                label_positions=self.label_positions,
                merchants=self.merchants.tobytes(),
                values=self.values.tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ReferenceTable:
        """Read what `to_bytes` wrote; raises `msgspec.DecodeError` for anything else."""
        content = msgspec.msgpack.decode(data, type=_Content)
        if content.values_of != MERCHANT_VALUES:
            raise msgspec.ValidationError(f"it holds {content.values_of}, this version reads {MERCHANT_VALUES}")
        return cls(
            content.valid_from_day,
            np.frombuffer(content.merchants, np.uint64),
            np.frombuffer(content.values, np.float32),
            content.label_positions,
        )

    @classmethod
    def empty(cls, valid_from_day: int = 0) -> ReferenceTable:
        """Return a table without merchants."""
        return cls(valid_from_day, np.zeros(0, np.uint64), np.zeros((0, len(MERCHANT_VALUES)), np.float32))


class _Activity(NamedTuple):
    """Activity of merchants on one day: numbers of transactions, and sums of amounts in minor units."""

    merchants: NDArray[np.uint64]
    counts: NDArray[np.int64]
    amounts: NDArray[np.int64]


class _Label(NamedTuple):
    observed_at_ms: int
    is_fraud: bool
    merchant_hash: int
    effective_at_ms: int


class ReferenceBuilder:
    """Collects transactions and labels in any order, and builds the table of each day from them."""

    def __init__(self) -> None:
        self._activity: dict[int, list[_Activity]] = {}
        self._labels: dict[str, list[_Label]] = {}
        self._label_positions: dict[str, int] = {}

    def add_transactions(
        self, merchant_hashes: NDArray[np.uint64], occurred_at_ms: NDArray[np.int64], amount_minor: NDArray[np.int64]
    ) -> None:
        """Count n transactions on their event days: uint64 [n] identity hashes, int64 [n], int64 [n]."""
        days = occurred_at_ms // DAY_MS
        for day in np.unique(days).tolist():
            of_day = days == day
            merchants, positions, counts = np.unique(merchant_hashes[of_day], return_inverse=True, return_counts=True)
            amounts = np.zeros(len(merchants), np.int64)
            np.add.at(amounts, positions, amount_minor[of_day])
            self._activity.setdefault(day, []).append(_Activity(merchants, counts, amounts))

    def add_label(
        self, transaction_id: str, merchant_hash: int, *, is_fraud: bool, effective_at: datetime, observed_at: datetime
    ) -> None:
        """Add a label. Of several labels of a transaction, the newest that was observed before a table's day counts."""
        label = _Label(to_epoch_ms(observed_at), is_fraud, merchant_hash, to_epoch_ms(effective_at))
        insort(self._labels.setdefault(transaction_id, []), label)

    def set_label_position(self, partition: int, position: int) -> None:
        """Set the position in a partition of the label log up to which the next table uses labels."""
        self._label_positions[str(partition)] = position

    def build(self, valid_from: date) -> ReferenceTable:
        """Return the table for transactions from `valid_from` on (UTC).

        Build tables in the order of days: data too old for `valid_from` are dropped.

        >>> builder = ReferenceBuilder()
        >>> noon_ms = np.full(2, to_epoch_ms(datetime(2025, 1, 5, 12, tzinfo=UTC)))
        >>> builder.add_transactions(np.array([7, 7], np.uint64), noon_ms, np.array([1000, 3000]))
        >>> table = builder.build(date(2025, 1, 6))
        >>> dict(zip(MERCHANT_VALUES, table.values[0].round(2).tolist()))["mean_amount_30d"]
        2000.0
        """
        day = (valid_from - date(1970, 1, 1)).days
        self._drop_before(day - WINDOW_DAYS)
        merchants = np.unique(np.concatenate([_NO_HASHES, *(of_day.merchants for _, of_day in self._between(0, day))]))
        counts = {days: self._total(merchants, day - days, day)[0] for days in _WINDOWS}
        _, amounts = self._total(merchants, day - WINDOW_DAYS, day)
        values = np.stack(
            [
                *(_relative_risk(self._frauds_known(merchants, day - days, day), counts[days]) for days in _WINDOWS),
                *(counts[days] / float(days) for days in _WINDOWS),
                amounts / np.maximum(counts[WINDOW_DAYS], 1.0),
            ],
            axis=1,
        )
        return ReferenceTable(day, merchants, values.astype(np.float32), self._label_positions)

    def _between(self, first: int, stop: int) -> list[tuple[int, _Activity]]:
        return [(d, part) for d, parts in sorted(self._activity.items()) if first <= d < stop for part in parts]

    def _total(
        self, merchants: NDArray[np.uint64], first: int, stop: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        counts, amounts = np.zeros(len(merchants), np.int64), np.zeros(len(merchants), np.int64)
        for _, of_day in self._between(first, stop):
            positions = np.searchsorted(merchants, of_day.merchants)
            counts[positions] += of_day.counts
            amounts[positions] += of_day.amounts
        return counts.astype(np.float64), amounts.astype(np.float64)

    def _frauds_known(self, merchants: NDArray[np.uint64], first: int, stop: int) -> NDArray[np.float64]:
        """Return the frauds per merchant that became known on a day in [first, stop) and had occurred by then."""
        known = np.array(
            [
                fraud.merchant_hash
                for labels in self._labels.values()
                if (fraud := _confirmed_fraud(labels, stop * DAY_MS)) and fraud.observed_at_ms >= first * DAY_MS
            ],
            np.uint64,
        )
        known = known[np.isin(known, merchants)]
        return np.bincount(np.searchsorted(merchants, known), minlength=len(merchants)).astype(np.float64)

    def _drop_before(self, day: int) -> None:
        self._activity = {d: parts for d, parts in self._activity.items() if d >= day}
        self._labels = {
            name: labels for name, labels in self._labels.items() if labels[-1].observed_at_ms >= day * DAY_MS
        }


def _confirmed_fraud(labels: list[_Label], before_ms: int) -> _Label | None:
    """Return the earliest fraud label, or None if there is none or a newer label before `before_ms` says genuine."""
    fraud: _Label | None = None
    for label in labels:
        if label.observed_at_ms < before_ms and label.effective_at_ms < before_ms:
            fraud = (fraud or label) if label.is_fraud else None
    return fraud


_NO_HASHES: Final[NDArray[np.uint64]] = np.zeros(0, np.uint64)
_WINDOWS: Final = (1, 7, WINDOW_DAYS)  # in days


def _relative_risk(frauds: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    base_rate = max(float(frauds.sum()) / max(float(counts.sum()), 1.0), MIN_BASE_RATE)
    shrunk: NDArray[np.float64] = (frauds + PRIOR_TRANSACTIONS * base_rate) / (counts + PRIOR_TRANSACTIONS)
    return shrunk / base_rate
