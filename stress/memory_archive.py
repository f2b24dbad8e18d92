"""An archive in memory, for many worlds in one process.

`tests/contract/test_archived_tables.py` holds it to the answers of `adapters.archive.reader.Archive`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import LOG_POSITION
from adapters.archive.reader import ACTION_COLUMNS
from cardwatch.decision.decide import Outcome
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.events import Label, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

_ENUMS: Final = frozenset({"channel", "previous_outcome", "source", "action"})
"""Fields whose values are members of an enumeration."""
_OF_TRANSACTION: Final = (
    "transaction_id",
    "card_id",
    "merchant_id",
    "occurred_at",
    "amount_minor",
    "merchant_category",
    "channel",
    "country",
)
"""Columns that a decision has from its transaction."""
_OF_OUTCOME: Final = (
    "model_version",
    "model_digest",
    "margin",
    "probability",
    "action",
    "reasons",
    "control_propensity",
)


class DayDecisions(Struct, frozen=True, kw_only=True):
    """The decisions on n transactions of one day, in the order of the log.

    `log_places`: int64 [n], which of the day's transactions they are, by position.
    """

    folded: FoldedTransactions
    outcomes: Sequence[Outcome]
    log_places: NDArray[np.int64]
    table_id: str
    policy_version: str


class MemoryArchive:
    """The `ArchivedTables` of one world: every record of a day occurred on that day, and lies in partition 0."""

    def __init__(self) -> None:
        self._days: dict[str, dict[date, pa.Table]] = {TRANSACTIONS: {}, DECISIONS: {}}
        self._labels: list[pa.Table] = [SCHEMAS[LABELS].empty_table()]
        self._ends = dict.fromkeys((TRANSACTIONS, LABELS), 0)
        self._closed: dict[date, str] = {}
        self._all_labels: pa.Table | None = None

    def add_day(self, day: date, transactions: Sequence[Transaction], decided: DayDecisions | None) -> None:
        """Add the transactions of a day, and the decisions on them if there are any."""
        offsets = self._positions(TRANSACTIONS, len(transactions))
        self._days[TRANSACTIONS][day] = _table(TRANSACTIONS, transactions, {"log_offset": offsets})
        if decided is not None:
            self._days[DECISIONS][day] = _decisions(decided, offsets[decided.log_places])

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Add labels, in the order of the label log."""
        self._labels.append(_table(LABELS, labels, {"log_offset": self._positions(LABELS, len(labels))}))
        self._all_labels = None

    def close_day(self, day: date, table_id: str) -> None:
        """Note that a day is complete, with the id of the reference table built at its end."""
        self._closed[day] = table_id

    def closed_days(self) -> dict[date, str]:
        """Return the complete days, each with the id of the reference table built at its end."""
        return dict(self._closed)

    def transactions(self, first: date, last: date) -> pa.Table:
        """Return the transactions of the days, both included, in log order."""
        return self._between(TRANSACTIONS, first, last)

    def transaction_columns(self, first: date, last: date, columns: Sequence[str]) -> pa.Table:
        """Return some columns of the transactions of the days, and their positions, in log order."""
        return self.transactions(first, last).select([*LOG_POSITION, *columns])

    def decisions(self, first: date, last: date) -> pa.Table:
        """Return the decisions on transactions of the days, both included, in log order."""
        return self._between(DECISIONS, first, last)

    def decision_columns(self, first: date, last: date, columns: Sequence[str]) -> pa.Table:
        """Return some columns of the decisions on transactions of the days, and their positions, in log order."""
        return self.decisions(first, last).select([*LOG_POSITION, *columns])

    def actions(self) -> pa.Table:
        """Return what was decided about every transaction (`ACTION_COLUMNS`), in log order of the transactions."""
        return self.decisions(date.min, date.max).select(list(ACTION_COLUMNS))

    def labels(self, observed_before: datetime) -> pa.Table:
        """Return all labels that were observed before this time, in the order of the label log."""
        table = self.all_labels()
        return table.filter(pc.less(table["observed_at"], pa.scalar(observed_before, table["observed_at"].type)))

    def all_labels(self) -> pa.Table:
        """Return all labels, in the order of the label log."""
        if self._all_labels is None:
            self._all_labels = pa.concat_tables(self._labels)
            self._labels = [self._all_labels]
        return self._all_labels

    def branch(self) -> MemoryArchive:
        """Return an independent copy with the same past."""
        twin = MemoryArchive()
        twin._days = {kind: dict(days) for kind, days in self._days.items()}
        twin._labels, twin._ends, twin._closed = list(self._labels), dict(self._ends), dict(self._closed)
        return twin

    def _between(self, kind: str, first: date, last: date) -> pa.Table:
        chosen = [table for day, table in sorted(self._days[kind].items()) if first <= day <= last]
        return pa.concat_tables(chosen) if chosen else SCHEMAS[kind].empty_table()

    def _positions(self, topic: str, count: int) -> NDArray[np.int64]:
        start = self._ends[topic]
        self._ends[topic] = start + count
        return np.arange(start, start + count, dtype=np.int64)


def _table(kind: str, records: Sequence[Struct], known: dict[str, Any]) -> pa.Table:
    """Return records as a table of `kind`; columns that are not `known` are fields of the records."""
    columns = {"partition": np.zeros(len(records), np.int32), **known}
    fields = SCHEMAS[kind]
    return pa.table(
        [
            pa.array(columns[field.name] if field.name in columns else _values(records, field.name), field.type)
            for field in fields
        ],
        schema=fields,
    )


def _values(records: Sequence[Struct], name: str) -> list[Any]:
    values = list(map(attrgetter(name), records))
    return [None if value is None else value.value for value in values] if name in _ENUMS else values


def _decisions(decided: DayDecisions, offsets: NDArray[np.int64]) -> pa.Table:
    transactions, rows, outcomes = decided.folded.transactions, decided.folded.rows, decided.outcomes
    count, width = rows.features.shape
    degraded = [outcome.degraded_reason for outcome in outcomes]
    known: dict[str, Any] = {
        "log_offset": offsets,
        "sequence": rows.sequences,
        "features": pa.ListArray.from_arrays(
            pa.array(np.arange(count + 1, dtype=np.int32) * width), pa.array(rows.features.reshape(-1))
        ),
        "feature_schema": [SCHEMA_HASH] * count,
        "table_id": [decided.table_id] * count,
        "policy_version": [decided.policy_version] * count,
        "degraded": [reason is not None for reason in degraded],
        "degraded_reason": [None if reason is None else reason.text for reason in degraded],
        "decided_at": _values(transactions, "occurred_at"),
        "latency_ms": np.zeros(count),
        **{name: _values(outcomes, name) for name in _OF_OUTCOME},
        **{name: _values(transactions, name) for name in _OF_TRANSACTION},
    }
    names = ("shadow_version", "shadow_margin", "shadow_probability", "canary_version", "canary_share")
    shadow = dict.fromkeys(names, [None] * count)
    return _table(DECISIONS, outcomes, known | shadow)
