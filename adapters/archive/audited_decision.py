"""One archived decision with the transaction in the log and the features that the log gives for it."""

from __future__ import annotations

from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adapters.archive.arrow_columns import arrow_kernel_rows
from adapters.archive.audit_tables import AuditTables
from adapters.archive.audited_columns import TRANSACTION_COLUMNS, audited_columns
from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import LOG_POSITION, RowGroupRange, find_row_groups, log_offsets, read_in_log_order
from adapters.archive.reader import Archive
from cardwatch.audit.recorded_columns import AuditedDecisions
from cardwatch.errors import CardwatchError
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.topics import DECISIONS, TRANSACTIONS

_NOTHING: Final = FoldedRows(
    np.full((1, len(FEATURES)), np.nan, np.float32), np.zeros(1, np.int64), np.zeros(1, np.bool_)
)
_LOGGED: Final = pa.schema([SCHEMAS[TRANSACTIONS].field(name) for name in [*TRANSACTION_COLUMNS, *LOG_POSITION]])


class ArchivedDecision(NamedTuple):
    """A decision as it is archived. `row` is its row, `record` the same as a dictionary without the features.

    `copies` is the number of archived decisions at its position, `others` are the positions of further ones about
    transactions of the same id.
    """

    row: pa.Table
    record: dict[str, Any]
    copies: int
    others: list[tuple[int, int]]

    @property
    def position(self) -> tuple[int, int]:
        """Partition and offset of the transaction."""
        return int(self.record["partition"]), int(self.record["log_offset"])


def find_archived_decision(archive: Archive, transaction_id: str) -> ArchivedDecision | None:
    """Return the first archived decision about a transaction of this id, None if the archive's index names none."""
    day = archive.decision_day(transaction_id)
    if day is None:
        return None
    rows = _rows_of(archive, DECISIONS, day, transaction_id)
    if not rows.num_rows:
        raise CardwatchError(
            f"the archive's index names a decision about {transaction_id!r} on {day}, and its files have none: restore "
            "the files, or rebuild the archive from the topics"
        )
    partitions: list[Any] = rows["partition"].to_pylist()
    positions = list(zip(partitions, log_offsets(rows).tolist(), strict=True))
    row = rows.slice(0, 1)
    [record] = row.drop_columns(["features"]).to_pylist()
    others = [position for position in dict.fromkeys(positions) if position != positions[0]]
    return ArchivedDecision(row, record, positions.count(positions[0]), others)


def replay_archived_decision(archive: Archive, tables: AuditTables, found: ArchivedDecision) -> AuditedDecisions:
    """Return the decision as one row, with the features that the kernel gives for its transaction.

    The card's transactions are read from the beginning of its partition.
    """
    partition, offset = found.position
    table_id = found.record["table_id"]
    tables.load([] if table_id is None else [table_id])
    table = ReferenceTable.empty() if table_id is None else tables.stored.by_id[table_id].table
    logged, history = _card_history(archive, partition, offset, str(found.record["card_id"]))
    in_log, replayed = np.array([logged is not None], np.bool_), _NOTHING
    if logged is None:
        logged = pa.table([pa.nulls(1, field.type) for field in _LOGGED], schema=_LOGGED)
    else:
        replayed = _replay(history, table or ReferenceTable.empty())
    copies = np.array([found.copies], np.int64)
    [decision] = audited_columns(found.row, logged, in_log, replayed, copies)
    return decision


def _card_history(archive: Archive, partition: int, offset: int, card_id: str) -> tuple[pa.Table | None, NDArray[Any]]:
    """Return the transaction at a position, None without one, and the kernel rows of its card up to it.

    The card is that of the log if there is a transaction.
    """
    groups = [group for group in find_row_groups(archive.files(TRANSACTIONS)) if group.first_offset <= offset]
    logged = _transaction_at(groups, partition, offset)
    if logged is not None:
        card_id = str(logged["card_id"][0].as_py())
    parts = []
    for table in read_in_log_order(groups, partition, TRANSACTION_COLUMNS):
        is_earlier = pc.less_equal(table["log_offset"], pa.scalar(offset, pa.int64()))
        of_card = table.filter(pc.and_(pc.equal(table["card_id"], pa.scalar(card_id)), is_earlier))
        if of_card.num_rows:
            parts.append(arrow_kernel_rows(of_card))
    return logged, np.concatenate(parts) if parts else np.zeros(0)


def _transaction_at(groups: list[RowGroupRange], partition: int, offset: int) -> pa.Table | None:
    here = [group for group in groups if group.last_offset >= offset]
    for table in read_in_log_order(here, partition, TRANSACTION_COLUMNS):
        row = table.filter(pc.equal(table["log_offset"], pa.scalar(offset, pa.int64())))
        if row.num_rows:
            return row
    return None


def _replay(history: NDArray[Any], table: ReferenceTable) -> FoldedRows:
    """Return the last row. The table of the earlier ones has no influence: no state depends on it."""
    states, card = empty_states(1), np.zeros(len(history), np.int64)
    fold(states, card[:-1], history[:-1], ReferenceTable.empty())
    return fold(states, card[-1:], history[-1:], table)


def _rows_of(archive: Archive, kind: str, day: date, transaction_id: str) -> pa.Table:
    """Return the rows about a transaction in log order."""
    parts = [
        pq.read_table(path, schema=SCHEMAS[kind], filters=[("transaction_id", "==", transaction_id)], partitioning=None)
        for path, _ in archive.files(kind, day, day)
    ]
    if not parts:
        return SCHEMAS[kind].empty_table()
    return pa.concat_tables(parts).sort_by([("partition", "ascending"), ("log_offset", "ascending")])
