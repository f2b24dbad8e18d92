"""Feature rows as Parquet: what a replay gives and training reads, one row per transaction.

The 67 values of a row lie in one fixed-size list, not in a column each: measured, that is written twice as fast and
read three times as fast as columns, because neither side has to turn the matrix. Missing values are NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.kernel import FoldedRows

KEY_COLUMNS: Final = ("transaction_id", "card_id", "occurred_at", "amount_minor", "partition", "log_offset")
"""What says whose row it is, as in the archive's transactions."""

_COLUMNS: Final[list[tuple[str, pa.DataType]]] = [
    ("transaction_id", pa.string()),
    ("card_id", pa.string()),
    ("occurred_at", pa.timestamp("ms", tz="UTC")),
    ("amount_minor", pa.int64()),
    ("partition", pa.int32()),
    ("log_offset", pa.int64()),
    ("sequence", pa.int64()),
    ("is_duplicate", pa.bool_()),
    ("features", pa.list_(pa.float32(), len(FEATURES))),
]
FEATURE_ROWS: Final = pa.schema(_COLUMNS, metadata={"feature_schema": SCHEMA_HASH})
"""The schema of feature rows. `sequence` counts the card's transactions before this one; a duplicate has no values."""


def feature_rows(transactions: pa.Table, folded: FoldedRows) -> pa.Table:
    """These transactions with what the kernel made of them, as `FEATURE_ROWS`."""
    values = pa.FixedSizeListArray.from_arrays(pa.array(folded.features.reshape(-1)), len(FEATURES))
    made = [pa.array(folded.sequences), pa.array(folded.duplicates), values]
    keys = [transactions[name].cast(FEATURE_ROWS.field(name).type) for name in KEY_COLUMNS]
    return pa.Table.from_arrays([*keys, *made], schema=FEATURE_ROWS)


def write_feature_rows(path: Path, batches: Iterable[pa.Table]) -> int:
    """Write batches of `FEATURE_ROWS` to one file, a row group each; gives the number of rows.

    Uncompressed: packing the values would take as long as making them.
    """
    rows = 0
    with pq.ParquetWriter(
        path, FEATURE_ROWS, compression="none", use_dictionary=False, write_statistics=["partition", "log_offset"]
    ) as writer:
        for batch in batches:
            writer.write_table(batch)
            rows += batch.num_rows
    return rows


def feature_matrix(rows: pa.Table) -> NDArray[np.float32]:
    """The `features` of such rows as float32 [n, features], from this writer or from Spark's."""
    lists: Any = rows["features"].combine_chunks()
    return cast(NDArray[np.float32], lists.flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1))
