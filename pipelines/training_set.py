"""Training sets: history through the kernel, with the labels as they were known at one moment.

The features come from replaying the whole archived log, each transaction with the reference table that its
decision recorded, or, for history that nobody decided, with the table that the rule gives. A label counts if
it was observed before T; a mature transaction without a fraud label is genuine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Protocol, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive import fraud_ids
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.features.columns import card_index, encode_columns
from cardwatch.features.reference import DAY_MS, ReferenceTable
from cardwatch.features.replay import fold_with_tables, tables_by_rule
from cardwatch.features.state import empty_states
from cardwatch.features.table import SCHEMA_HASH
from cardwatch.promotion import Windows

_EPOCH: Final = date(1970, 1, 1)


class History(Protocol):
    """What is needed of the archive (`adapters.archive.Archive`)."""

    def days(self) -> list[date]:
        """The event days that it holds."""
        ...

    def transactions(self, first: date, last: date) -> pa.Table:
        """Transactions of these days, by partition and log offset."""
        ...

    def labels(self, observed_before: datetime) -> pa.Table:
        """Labels observed before this moment."""
        ...

    def decisions(self, first: date, last: date) -> pa.Table:
        """Decisions on transactions of these days."""
        ...


class ReplayedLog(Struct, frozen=True, kw_only=True):
    """The whole archived log, folded. Rows are in log order: by partition, then offset.

    `duplicates` marks repeats, whose feature rows are empty. `states` are the cards' states after the last
    row, in the order of `cards`, and `card_partitions` says where each card lives. `ends`: per partition the
    next offset.
    """

    transactions: pa.Table
    occurred_at_ms: NDArray[np.int64]
    features: NDArray[np.float32]
    duplicates: NDArray[np.bool_]
    cards: list[str]
    card_partitions: NDArray[np.int64]
    states: NDArray[np.void]
    ends: dict[int, int]

    @property
    def first_day(self) -> date:
        """The day of the oldest transaction."""
        return _EPOCH + timedelta(days=int(self.occurred_at_ms.min()) // DAY_MS)

    @property
    def last_day(self) -> date:
        """The day of the newest transaction."""
        return _EPOCH + timedelta(days=int(self.occurred_at_ms.max()) // DAY_MS)


class TrainingSet(Struct, frozen=True, kw_only=True):
    """Feature rows and what became of them, in log order, all arrays of the same length.

    `features`: float32 [n, features], NaN where missing. `fingerprint`: equal for equal content.
    """

    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    occurred_at_ms: NDArray[np.int64]
    card_ids: NDArray[np.object_]
    transaction_ids: NDArray[np.object_]
    fingerprint: str

    @property
    def days(self) -> NDArray[np.int64]:
        """Each row's event day (UTC), counted from 1970."""
        return self.occurred_at_ms // DAY_MS

    def between(self, first: date, until: date) -> TrainingSet:
        """The rows whose event day lies in [first, until)."""
        rows = (self.days >= _day_number(first)) & (self.days < _day_number(until))
        return TrainingSet(
            features=self.features[rows],
            is_fraud=self.is_fraud[rows],
            amount_minor=self.amount_minor[rows],
            occurred_at_ms=self.occurred_at_ms[rows],
            card_ids=self.card_ids[rows],
            transaction_ids=self.transaction_ids[rows],
            fingerprint=self.fingerprint,
        )


def end_of(day: date) -> datetime:
    """T: the first moment after `day` (UTC)."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def replay_log(history: History, tables: Sequence[ReferenceTable]) -> ReplayedLog:
    """Fold everything that is archived, from empty states on. `tables` are all that were ever built."""
    days = history.days()
    if not days:
        raise Misconfigured("the archive is empty: there is nothing to train on")
    log = history.transactions(days[0], days[-1])
    occurred_at_ms = _epoch_ms(log["occurred_at"])
    cards, index = card_index(_strings(log["card_id"]))
    used = _tables_used(log, history.decisions(days[0], days[-1]), occurred_at_ms, tables)
    states = empty_states(len(cards))
    folded = fold_with_tables(states, index, _kernel_rows(log, occurred_at_ms), used)
    partitions = log["partition"].to_numpy().astype(np.int64)
    _, first_rows = np.unique(index, return_index=True)
    return ReplayedLog(
        transactions=log,
        occurred_at_ms=occurred_at_ms,
        features=folded.features,
        duplicates=folded.duplicates,
        cards=cards,
        card_partitions=partitions[first_rows],
        states=states,
        ends=_ends(partitions, log["log_offset"].to_numpy()),
    )


def training_set(log: ReplayedLog, labels: pa.Table, as_of: date, windows: Windows) -> TrainingSet:
    """The rows of both windows as they were known at T, the end of `as_of`; labels observed later are not used."""
    known = labels.filter(pc.less(labels["observed_at"], pa.scalar(end_of(as_of), labels["observed_at"].type)))
    days = log.occurred_at_ms // DAY_MS
    rows = (days >= _day_number(windows.train_from)) & (days < _day_number(windows.judge_until)) & ~log.duplicates
    chosen = log.transactions.filter(pa.array(rows))
    is_fraud = pc.is_in(chosen["transaction_id"], value_set=fraud_ids(known))
    return TrainingSet(
        features=log.features[rows],
        is_fraud=is_fraud.to_numpy().astype(np.bool_),
        amount_minor=chosen["amount_minor"].to_numpy().astype(np.int64),
        occurred_at_ms=log.occurred_at_ms[rows],
        card_ids=np.array(_strings(chosen["card_id"]), np.object_),
        transaction_ids=np.array(_strings(chosen["transaction_id"]), np.object_),
        fingerprint=_fingerprint(log, known, as_of, windows),
    )


def _kernel_rows(log: pa.Table, occurred_at_ms: NDArray[np.int64]) -> NDArray[np.void]:
    return encode_columns(
        transaction_ids=_strings(log["transaction_id"]),
        merchant_ids=_strings(log["merchant_id"]),
        occurred_at_ms=occurred_at_ms,
        amount_minor=log["amount_minor"].to_numpy().astype(np.int64),
        merchant_category=_strings(log["merchant_category"]),
        channel=_strings(log["channel"]),
        country=_strings(log["country"]),
        latitude=_with_nan(log["latitude"]),
        longitude=_with_nan(log["longitude"]),
        device_ids=log["device_id"].to_pylist(),
        previous_outcome=log["previous_outcome"].to_pylist(),
    )


def _tables_used(
    log: pa.Table, decisions: pa.Table, occurred_at_ms: NDArray[np.int64], tables: Sequence[ReferenceTable]
) -> list[ReferenceTable]:
    """Per row the recorded table where there is a decision, else the table by the rule."""
    used = tables_by_rule(occurred_at_ms, tables)
    stored = {table.table_id: table for table in (ReferenceTable.empty(), *tables)}
    rows = {position: row for row, position in enumerate(_positions(log))}
    for position, table_id in zip(_positions(decisions), _strings(decisions["table_id"]), strict=True):
        if table_id not in stored:
            raise CardwatchError(f"a decision used reference table {table_id}, which is not stored any more")
        if position in rows:
            used[rows[position]] = stored[table_id]
    return used


def _fingerprint(log: ReplayedLog, labels: pa.Table, as_of: date, windows: Windows) -> str:
    before = log.occurred_at_ms < (_day_number(as_of) + 1) * DAY_MS
    seen = log.transactions.filter(pa.array(before))
    content: dict[str, Any] = {
        "log_ends": _ends(seen["partition"].to_numpy(), seen["log_offset"].to_numpy()),
        "label_ends": _ends(labels["partition"].to_numpy(), labels["log_offset"].to_numpy()),
        "as_of": as_of,
        "windows": windows,
        "schema_hash": SCHEMA_HASH,
    }
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def _positions(rows: pa.Table) -> Iterator[tuple[int, int]]:
    return zip(rows["partition"].to_numpy().tolist(), rows["log_offset"].to_numpy().tolist(), strict=True)


def _ends(partitions: NDArray[Any], offsets: NDArray[Any]) -> dict[int, int]:
    return {int(partition): int(offsets[partitions == partition].max()) + 1 for partition in np.unique(partitions)}


def _epoch_ms(moments: pa.ChunkedArray[Any]) -> NDArray[np.int64]:
    return moments.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy().astype(np.int64)


def _with_nan(numbers: pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    return numbers.cast(pa.float64()).fill_null(pa.scalar(float("nan"))).to_numpy().astype(np.float64)


def _strings(column: pa.ChunkedArray[Any]) -> list[str]:
    return cast(list[str], column.to_pylist())


def _day_number(day: date) -> int:
    return (day - _EPOCH).days
