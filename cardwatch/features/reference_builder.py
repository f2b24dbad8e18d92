"""Building the reference table of each day from transactions and labels, in whatever order these arrive."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.compromise import compromised_merchants
from cardwatch.features.known_frauds import LabelLog, ReferenceLabel
from cardwatch.features.reference_days import ROWS, DayOfTransactions
from cardwatch.features.reference_statistics import Window, devices, merchants
from cardwatch.features.reference_table import (
    COMPROMISED_SECTION,
    DAY_MS,
    DEVICE_SECTION,
    MERCHANT_SECTION,
    WINDOW_DAYS,
    Hashes,
    ReferenceTable,
)
from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS


class ReferenceBuilder:
    """Collects transactions and labels in any order, and builds the table of each day from them.

    `maturity_days`: days after an event day until its labels are complete. A table covers `WINDOW_DAYS` event days
    whose labels are complete, and `maturity_days` newer ones.

    >>> from cardwatch.events import to_epoch_ms
    >>> from cardwatch.features.columns import COLUMNS
    >>> from datetime import UTC, datetime
    >>> from cardwatch.features.reference_table import MERCHANT_SECTION
    >>> builder, rows = ReferenceBuilder(), np.zeros(2, COLUMNS)
    >>> rows["merchant_hash"], rows["amount_minor"] = 7, [1000, 3000]
    >>> rows["occurred_at_ms"] = to_epoch_ms(datetime(2025, 1, 5, 12, tzinfo=UTC))
    >>> builder.add_transactions(rows, np.array([1, 2], np.uint64))
    >>> builder.build(date(2025, 1, 6)).value(MERCHANT_SECTION, 7, "mean_amount_30d")
    2000.0
    """

    def __init__(self, maturity_days: int = DEFAULT_MATURITY_DAYS) -> None:
        self._maturity_days = maturity_days
        self._parts: dict[int, list[NDArray[np.void]]] = {}
        self._days: dict[int, DayOfTransactions] = {}
        self._labels = LabelLog()
        self._label_positions: dict[str, int] = {}

    def add_transactions(self, columns: NDArray[np.void], card_hashes: Hashes) -> None:
        """Add n transactions: dtype `columns.COLUMNS` [n], and the identity hashes of their cards, uint64 [n]."""
        rows = np.empty(len(columns), ROWS)
        rows["card"] = card_hashes
        for name in ("transaction", "merchant", "device"):
            rows[name] = columns[f"{name}_hash"]
        for name in ("occurred_at_ms", "amount_minor"):
            rows[name] = columns[name]
        self.add_rows(rows)

    def add_rows(self, rows: NDArray[np.void]) -> None:
        """Add n transactions as dtype `reference_days.ROWS` [n]."""
        days = rows["occurred_at_ms"] // DAY_MS
        for day in sorted(set(days.tolist())):
            self._parts.setdefault(day, []).append(rows[days == day])
            self._days.pop(day, None)

    def add_label(self, label: ReferenceLabel) -> None:
        """Add a label. Of several labels of a transaction, the newest that was observed before a table's day counts."""
        self._labels.add(label)

    def set_label_position(self, partition: int, position: int) -> None:
        """Set the position in a partition of the label log up to which the next table uses labels."""
        self._label_positions[str(partition)] = position

    def build(self, valid_from: date) -> ReferenceTable:
        """Return the table for transactions from `valid_from` on (UTC).

        Build tables in the order of days: data too old for `valid_from` are dropped.
        """
        day = (valid_from - date(1970, 1, 1)).days
        first = day - WINDOW_DAYS - self._maturity_days
        self._parts = {d: parts for d, parts in self._parts.items() if d >= first}
        self._days = {d: found for d, found in self._days.items() if d >= first}
        self._labels.drop_before(first)
        days = {d: self._day(d) for d in sorted(self._parts) if d < day}
        frauds = self._labels.known_frauds(first, day, days)
        window = Window(day, self._maturity_days, [days.get(d) for d in range(day - 1, first - 1, -1)], frauds)
        sections = {
            MERCHANT_SECTION: merchants(window),
            DEVICE_SECTION: devices(window),
            COMPROMISED_SECTION: compromised_merchants(list(days.values()), frauds),
        }
        return ReferenceTable(day, sections, self._label_positions)

    def _day(self, day: int) -> DayOfTransactions:
        if day not in self._days:
            self._days[day] = DayOfTransactions(np.concatenate(self._parts[day]))
            self._parts[day] = [self._days[day].rows]
        return self._days[day]
