"""A user's file as columns of transactions and labels, in the order of event time, ready for the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.containers import is_parquet
from adapters.archive.tabular import column_names, read_text
from cardwatch.errors import MappingError
from cardwatch.features.columns import (
    CHANNEL_CODES,
    OUTCOME_CODES,
    ColumnOrScalar,
    category_code,
    country_code,
    kernel_rows,
)
from cardwatch.features.hashing import identity_hashes
from cli.evaluate.fields import Columns, parse_batch
from cli.evaluate.header import check_columns
from cli.evaluate.identifiers import check_one_form
from cli.evaluate.mapping import Code, Mapping, TransactionFields
from cli.evaluate.rejects import Fault, Refuse
from cli.evaluate.score_fields import check_columns_exist
from cli.evaluate.thousands import ThousandsCheck
from models.prequential import DAY_MS

IDENTIFIERS: Final = ("card_id", "merchant_id", "transaction_id", "device_id")


class Text(NamedTuple):
    """n texts as places among the distinct ones; the last of those is None, which -1 finds."""

    names: NDArray[np.object_]
    codes: NDArray[np.int32]

    def at(self, rows: Any) -> Text:
        """Only these rows."""
        return Text(self.names, self.codes[rows])


class Dataset(Struct, frozen=True, kw_only=True):
    """n transactions in the order of time, and of the file where times are equal.

    `days`: days since 1970. `cards`: each transaction's card as a place among the `card_count` distinct ones, whose
    ids are `card_names`.
    `censored`: nobody knows its outcome. `observed_at_ms`: when its fraud became known. `columns`: all fields that the
    file has; `fields`: how the mapping gives them and the others; `kernel`: the same transactions as the kernel reads
    them. `left_out` rows of the file have a negative amount and are not among them.
    """

    columns: Columns
    kernel: NDArray[np.void]
    fields: TransactionFields
    days: NDArray[np.int64]
    cards: NDArray[np.int64]
    card_count: int
    card_names: NDArray[np.object_]
    is_fraud: NDArray[np.bool_]
    censored: NDArray[np.bool_]
    observed_at_ms: NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        """Return the number of transactions."""
        return len(self.days)


def read_dataset(path: Path, mapping: Mapping, refuse: Refuse, score_columns: Sequence[str] = ()) -> Dataset:
    """Read a CSV or Parquet file by its mapping; every row that does not fit is passed to `refuse` and left out.

    `score_columns` are further columns, of numbers, which `columns` holds by `score_field`.
    Raises `MappingError` if the file cannot be read, lacks a column or has no row that fits.
    """
    check_columns(path, mapping.columns(), mapping.file)
    check_columns_exist(path, column_names(path, mapping.file), score_columns)
    batches: list[Columns] = []
    left_out = 0
    for batch, without in _read_batches(path, mapping, refuse, score_columns):
        batches.append(batch)
        left_out += without
    if not sum(len(batch["row"]) for batch in batches):
        raise MappingError(f"{path}: has no row that can be used")
    columns = {name: _joined([batch.pop(name) for batch in batches]) for name in list(batches[0])}
    for name in IDENTIFIERS:
        if isinstance(texts := columns.get(name), Text):
            check_one_form(path, getattr(mapping.transaction, name).title, texts.names)
    if (identifier := mapping.transaction.transaction_id) is not None:
        columns = _without_repeats(columns, identifier.title, refuse)
    order = np.argsort(columns["occurred_at"], kind="stable")
    columns = _at(columns, order)
    cards: Text = columns.pop("card_id")
    return Dataset(
        days=columns["occurred_at"] // DAY_MS,
        cards=cards.codes.astype(np.int64),
        card_count=len(cards.names) - 1,
        card_names=cards.names[:-1],
        is_fraud=columns.pop("is_fraud"),
        censored=columns.pop("censored"),
        observed_at_ms=columns.pop("observed_at"),
        columns=columns,
        kernel=_kernel_rows(columns, mapping.transaction),
        fields=mapping.transaction,
        left_out=left_out,
    )


def _kernel_rows(columns: Columns, fields: TransactionFields) -> NDArray[np.void]:
    """Rows for the kernel; a transaction without an id is called by its row in the file."""

    def codes(name: str, code: Callable[[Any], int]) -> ColumnOrScalar:
        if (texts := columns.get(name)) is not None:
            of_names = np.array([0 if text is None else code(text) for text in texts.names], np.int32)
            rows: NDArray[np.int32] = of_names[texts.codes]
            return rows
        spec: Code | None = getattr(fields, name)
        return 0 if spec is None else code(spec.constant)

    def hashes(texts: Text) -> NDArray[np.uint64]:
        return identity_hashes(texts.names.tolist())[texts.codes]

    def optional_hashes(name: str) -> ColumnOrScalar:
        return 0 if (texts := columns.get(name)) is None else hashes(texts)

    ids = columns.get("transaction_id")
    return kernel_rows(
        len(columns["row"]),
        transaction_hash=hashes(ids) if ids else identity_hashes([f"row-{row}" for row in columns["row"].tolist()]),
        merchant_hash=hashes(columns["merchant_id"]),
        device_hash=optional_hashes("device_id"),
        occurred_at_ms=columns["occurred_at"],
        amount_minor=columns["amount"],
        latitude=columns.get("latitude", np.nan),
        longitude=columns.get("longitude", np.nan),
        category=codes("merchant_category", category_code),
        country=codes("country", country_code),
        channel=codes("channel", CHANNEL_CODES.__getitem__),
        previous_outcome=codes("previous_outcome", OUTCOME_CODES.__getitem__),
    )


def _read_batches(
    path: Path, mapping: Mapping, refuse: Refuse, score_columns: Sequence[str]
) -> Iterator[tuple[Columns, int]]:
    """Yield the columns of each batch without its faulty rows, and the number of rows that were left out."""
    used = list(dict.fromkeys([*mapping.columns().values(), *score_columns]))
    exact = {name for spec in mapping.joinable() for name in spec.names}
    waiting: list[Fault] = []

    def malformed(row: int, reason: str) -> None:
        waiting.append(Fault(row, "", None, reason))

    thousands = ThousandsCheck(mapping.transaction.amount, is_text=not is_parquet(path))
    for batch in read_text(path, used, mapping.file, malformed, exact):
        thousands.add(batch.columns[mapping.transaction.amount.column])
        columns, faults = parse_batch(batch, mapping, score_columns)
        last = int(batch.numbers[-1]) if len(batch.numbers) else 0
        waiting += faults.found
        for fault in sorted(fault for fault in waiting if fault.row <= last):
            refuse(fault)
        waiting[:] = [fault for fault in waiting if fault.row > last]
        used_rows = {
            name: values.filter(~faults.bad) if isinstance(values, pa.Array) else values[~faults.bad]
            for name, values in columns.items()
        }
        yield used_rows, faults.left_out
    for fault in sorted(waiting):
        refuse(fault)
    thousands.require_decimals(path)


def _joined(parts: list[Any]) -> Any:
    if not isinstance(parts[0], pa.DictionaryArray):
        return np.concatenate(parts)
    whole: Any = pa.chunked_array(parts).unify_dictionaries()
    indices = [chunk.indices.fill_null(-1).to_numpy() for chunk in whole.chunks]
    names = [*whole.chunk(0).dictionary.to_pylist(), None]
    return Text(np.array(names, object), np.concatenate(indices))


def _at(columns: Columns, rows: Any) -> Columns:
    return {name: values.at(rows) if isinstance(values, Text) else values[rows] for name, values in columns.items()}


def _without_repeats(columns: Columns, identifier: str, refuse: Refuse) -> Columns:
    ids: Text = columns["transaction_id"]
    codes, firsts = np.unique(ids.codes, return_index=True)
    if len(codes) == len(ids.codes):
        return columns
    repeated = np.ones(len(ids.codes), np.bool_)
    repeated[firsts] = False
    first_row = np.zeros(len(ids.names), np.int64)
    first_row[codes] = columns["row"][firsts]
    for position in np.flatnonzero(repeated):
        code = ids.codes[position]
        reason = f"is the transaction_id of row {first_row[code]} too"
        refuse(Fault(int(columns["row"][position]), identifier, ids.names[code], reason))
    return _at(columns, ~repeated)
