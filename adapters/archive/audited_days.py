"""The archived decisions of some days with the log that they rest on, replayed, in bounded memory.

Every partition is replayed from its beginning, because a card's state is a function of all of its transactions.
Memory holds one batch of transactions with the decisions on them, and the states of the cards of one partition (2 KB
each).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.arrow_columns import Arrow, arrow_kernel_rows, codes_with_missing
from adapters.archive.audit_tables import AuditTables
from adapters.archive.audited_columns import DECISION_COLUMNS, TRANSACTION_COLUMNS, audited_columns, rows_at
from adapters.archive.card_states import CardStates
from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import (
    BATCH_ROWS,
    LOG_POSITION,
    RowGroupRange,
    find_row_groups,
    log_offsets,
    partitions_of,
    read_in_log_order,
)
from adapters.archive.reader import Archive
from cardwatch.audit.recorded_columns import AuditedDecisions
from cardwatch.events import EPOCH
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.reference_table import DAY_MS, ReferenceTable
from cardwatch.features.replay import fold_by_table_index
from cardwatch.topics import DECISIONS, TRANSACTIONS

_EMPTY: Final = ReferenceTable.empty()


class AuditedBatch(NamedTuple):
    """Some decisions of the days, in parts of one feature schema, and transactions that should have one and have none.

    `undecided` are their partitions and offsets. `replayed` is the number of transactions that were replayed for it.
    """

    parts: list[AuditedDecisions]
    undecided: list[tuple[int, int]]
    replayed: int


def read_audited_days(
    archive: Archive, tables: AuditTables, first: date, last: date, *, batch_rows: int = BATCH_ROWS
) -> Iterator[AuditedBatch]:
    """Yield the decisions on transactions of the days, partition by partition in log order.

    Raises `CardwatchError` for a file that is damaged or differs from the manifest, and for two decisions at one
    position.
    """
    log = find_row_groups(archive.files(TRANSACTIONS))
    decided = find_row_groups(archive.files(DECISIONS))
    of_days = find_row_groups(archive.files(DECISIONS, first, last))
    wanted = find_row_groups(archive.files(TRANSACTIONS, first, last)) + of_days
    for partition in partitions_of(wanted):
        replay = _PartitionReplay(partition, log, decided, of_days, tables, (first, last))
        yield from replay.batches(_end(wanted, partition), batch_rows)


class _PartitionReplay:
    """The replay of one partition."""

    def __init__(
        self,
        partition: int,
        log: list[RowGroupRange],
        decided: list[RowGroupRange],
        of_days: list[RowGroupRange],
        tables: AuditTables,
        days: tuple[date, date],
    ) -> None:
        self._partition, self._log, self._of_days, self._tables = partition, log, of_days, tables
        here = [group for group in decided if group.holds(partition)]
        self._first_decided = min((group.first_offset for group in here), default=0)
        self._last_decided = max((group.last_offset for group in here), default=-1)
        self._first_ms, self._end_ms = ((day - EPOCH.date()).days * DAY_MS for day in days)
        self._end_ms += DAY_MS
        self._cards = CardStates()

    def batches(self, end: int, batch_rows: int) -> Iterator[AuditedBatch]:
        """Yield the decisions of the days, after replaying the transactions before `end`."""
        decisions = _InStep(read_in_log_order(self._of_days, self._partition, DECISION_COLUMNS, batch_rows=batch_rows))
        needed = [group for group in self._log if group.first_offset < end]
        for transactions in read_in_log_order(needed, self._partition, TRANSACTION_COLUMNS, batch_rows=batch_rows):
            yield self._replay(transactions, decisions.take_up_to(int(log_offsets(transactions)[-1])))
        if rest := decisions.take_up_to(None):
            yield AuditedBatch(_without_log(rest), [], 0)

    def _replay(self, transactions: pa.Table, decisions: pa.Table | None) -> AuditedBatch:
        rows, offsets = arrow_kernel_rows(transactions), log_offsets(transactions)
        index = self._cards.index(transactions["card_id"])
        places = np.zeros(0, np.int64)
        used, tables = np.zeros(len(rows), np.int64), [_EMPTY]
        if decisions is not None:
            places = _places(log_offsets(decisions), offsets)
            used, tables = self._used_tables(decisions, places, len(rows))
        folded = fold_by_table_index(self._cards.states, index, rows, tables, used)
        is_decided = np.zeros(len(rows), np.bool_)
        is_decided[places[places >= 0]] = True
        occurred_at_ms = rows["occurred_at_ms"]
        should_be = ~is_decided & ~folded.duplicates
        should_be &= (occurred_at_ms >= self._first_ms) & (occurred_at_ms < self._end_ms)
        should_be &= (offsets >= self._first_decided) & (offsets <= self._last_decided)
        undecided = [(self._partition, offset) for offset in offsets[should_be].tolist()]
        parts = [] if decisions is None else list(_audited(decisions, transactions, places, folded))
        return AuditedBatch(parts, undecided, len(rows))

    def _used_tables(
        self, decisions: pa.Table, places: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], list[ReferenceTable]]:
        """Return the index of the table of each of `count` transactions, and the tables.

        A transaction that is not audited uses the table of the one before: no state depends on it, and the kernel is
        called less often.
        """
        names, codes = codes_with_missing(decisions["table_id"])
        self._tables.load(names)
        tables = [_EMPTY, *(self._tables.stored.by_id[name].table or _EMPTY for name in names)]
        used, known = np.zeros(count, np.int64), places >= 0
        used[places[known]] = codes[known] + 1
        last = np.zeros(count, np.int64)
        last[places[known]] = places[known]
        return used[np.maximum.accumulate(last)], tables


class _InStep:
    """Takes decisions from a stream of tables in step with the transactions."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._held: list[pa.Table] = []
        self._reached = -1

    def take_up_to(self, offset: int | None) -> pa.Table | None:
        """Return the next decisions up to this offset, or all without one; None if there are none."""
        while offset is None or self._reached < offset:
            table = next(self._tables, None)
            if table is None:
                break
            self._held.append(_with_all_columns(table))
            self._reached = int(log_offsets(table)[-1])
        if not self._held:
            return None
        held = pa.concat_tables(self._held, promote_options="permissive")
        count = held.num_rows if offset is None else int(np.searchsorted(log_offsets(held), offset, side="right"))
        self._held = [held.slice(count)] if count < held.num_rows else []
        return held.slice(0, count) if count else None


def _with_all_columns(table: pa.Table) -> pa.Table:
    """Return decisions with the columns that files of former versions lack, as missing values."""
    schema = SCHEMAS[DECISIONS]
    for name in DECISION_COLUMNS:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, schema.field(name).type))
    return table


def _audited(
    decisions: pa.Table, transactions: pa.Table, places: NDArray[np.int64], folded: FoldedRows
) -> Iterator[AuditedDecisions]:
    in_log = places >= 0
    taken: Arrow = pa.array(places, mask=~in_log)
    yield from audited_columns(decisions, transactions.take(taken), in_log, rows_at(folded, places))


def _without_log(decisions: pa.Table) -> list[AuditedDecisions]:
    """Return decisions about transactions that the log does not have."""
    count = decisions.num_rows
    schema = pa.schema([SCHEMAS[TRANSACTIONS].field(name) for name in [*TRANSACTION_COLUMNS, *LOG_POSITION]])
    logged = pa.table([pa.nulls(count, field.type) for field in schema], schema=schema)
    nothing = FoldedRows(
        np.full((count, len(FEATURES)), np.nan, np.float32), np.zeros(count, np.int64), np.zeros(count, np.bool_)
    )
    return list(audited_columns(decisions, logged, np.zeros(count, np.bool_), nothing))


def _places(of: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of offsets among others, both sorted, -1 where one is not there."""
    nearest = np.minimum(np.searchsorted(among, of), len(among) - 1)
    return np.where(among[nearest] == of, nearest, -1)


def _end(groups: Iterable[RowGroupRange], partition: int) -> int:
    return max((group.last_offset for group in groups if group.holds(partition)), default=-1) + 1
