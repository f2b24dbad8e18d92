"""Feature rows as Parquet, the output of a replay and the input of training, with one row per transaction.

The 67 values of a row are one fixed-size list. Measured against a column per value, that is written twice and read
three times as fast, because no side transposes the matrix. Missing values are NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.kernel import FoldedRows

KEY_COLUMNS: Final = ("transaction_id", "card_id", "occurred_at", "amount_minor", "partition", "log_offset")
"""Columns that identify a row, as in the archive's transactions."""

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
"""The schema of feature rows. `sequence` counts the card's transactions before this one; a duplicate has only NaN."""


def feature_rows(transactions: pa.Table, folded: FoldedRows) -> pa.Table:
    """Return transactions with the output of the kernel, as `FEATURE_ROWS`."""
    values = pa.FixedSizeListArray.from_arrays(pa.array(folded.features.reshape(-1)), len(FEATURES))
    outputs = [pa.array(folded.sequences), pa.array(folded.duplicates), values]
    keys = [transactions[name].cast(FEATURE_ROWS.field(name).type) for name in KEY_COLUMNS]
    return pa.Table.from_arrays([*keys, *outputs], schema=FEATURE_ROWS)


def write_feature_rows(path: Path, batches: Iterable[pa.Table]) -> int:
    """Write batches of `FEATURE_ROWS` to one file, a row group each, and return the number of rows.

    The file is not compressed, because compression would take as long as the computation of the values.
    """
    rows = 0
    with pq.ParquetWriter(
        path, FEATURE_ROWS, compression="none", use_dictionary=False, write_statistics=["partition", "log_offset"]
    ) as writer:
        for batch in batches:
            writer.write_table(batch)
            rows += batch.num_rows
    return rows


def of_this_schema(decisions: pa.Table) -> pa.Table:
    """Return the archived decisions whose features have this version's schema. If all have it, nothing is copied."""
    are_of_schema = pc.equal(decisions["feature_schema"], pa.scalar(SCHEMA_HASH))
    return decisions if pc.all(are_of_schema).as_py() else decisions.filter(are_of_schema)


def feature_matrix(rows: pa.Table) -> NDArray[np.float32]:
    """Return the `features` of rows as float32 [n, features]; missing values are NaN.

    The rows may be feature rows, also those that Spark wrote, or decisions of the archive.
    """
    values = pc.list_flatten(rows["features"]).to_numpy().astype(np.float32, copy=False)
    return cast(NDArray[np.float32], values.reshape(rows.num_rows, len(FEATURES)))
