"""Code of Spark's Python workers: the feature kernel over rows that are sorted by card, partition and offset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.arrow_columns import arrow_kernel_rows, distinct
from adapters.archive.feature_rows import FEATURE_ROWS, feature_rows
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.replay import ReferenceTables, fold_by_table_index
from cardwatch.features.state import empty_states

SPARK_SCHEMA: Final = (
    "transaction_id string, card_id string, occurred_at timestamp, amount_minor bigint, partition int, "
    "log_offset bigint, sequence bigint, is_duplicate boolean, features array<float>"
)
"""Schema of `FEATURE_ROWS` in Spark, whose lists have no fixed size."""

_SPARK_TYPES: Final[dict[str, pa.DataType]] = {"occurred_at": pa.timestamp("us", "UTC")}


class StoredTables(NamedTuple):
    """The serialized reference tables, and of those that `cardwatch upgrade` has replaced, ids and first days."""

    tables: Sequence[bytes]
    former: Mapping[str, date] = {}


def fold_task(tables: Any, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Call `fold_sorted` with the broadcast tables."""
    return fold_sorted(tables.value, batches)


def fold_sorted(stored: StoredTables, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the feature rows of a task's transactions. Their column `table_id` is null if no table was recorded.

    Memory holds one batch, the states of its cards, and the state of the last card of the batch before.
    """
    reference_tables = ReferenceTables([ReferenceTable.from_bytes(table) for table in stored.tables], stored.former)
    open_card, open_state = "", empty_states(1)
    for batch in batches:
        if not batch.num_rows:
            continue
        transactions = pa.Table.from_batches([batch])
        cards, index = distinct(transactions["card_id"])
        states = empty_states(len(cards))
        if cards[0] == open_card:
            states[:1] = open_state
        folded = _fold(transactions, states, index, reference_tables)
        open_card, open_state = cards[-1], states[-1:].copy()
        yield from _to_spark_schema(feature_rows(transactions, folded)).to_batches()


def _fold(
    transactions: pa.Table, states: NDArray[np.void], index: NDArray[np.int64], reference_tables: ReferenceTables
) -> FoldedRows:
    """Fold in log order. It keeps the order of each card, and has longer runs with the same table than card order."""
    rows = arrow_kernel_rows(transactions)
    used = _tables_used(transactions, np.ascontiguousarray(rows["occurred_at_ms"]), reference_tables)
    order = np.lexsort((transactions["log_offset"].to_numpy(), transactions["partition"].to_numpy()))
    ordered = fold_by_table_index(states, index[order], rows[order], reference_tables.tables, used[order])
    back = np.argsort(order)
    return FoldedRows(ordered.features[back], ordered.sequences[back], ordered.duplicates[back])


def _tables_used(
    transactions: pa.Table, occurred_at_ms: NDArray[np.int64], reference_tables: ReferenceTables
) -> NDArray[np.int64]:
    used = reference_tables.valid_at(occurred_at_ms)
    is_recorded = transactions["table_id"].is_valid().to_numpy()
    if is_recorded.any():
        table_ids, codes = distinct(transactions["table_id"].drop_null())
        used[is_recorded] = reference_tables.by_id(table_ids)[codes]
    return used


def _to_spark_schema(rows: pa.Table) -> pa.Table:
    lists: Any = rows["features"].combine_chunks()
    bounds: Any = np.arange(0, (rows.num_rows + 1) * len(FEATURES), len(FEATURES), dtype=np.int32)
    features = pa.ListArray.from_arrays(bounds, lists.flatten())
    columns = {name: rows[name] for name in FEATURE_ROWS.names} | {"features": features}
    return pa.table({name: column.cast(_SPARK_TYPES.get(name, column.type)) for name, column in columns.items()})
