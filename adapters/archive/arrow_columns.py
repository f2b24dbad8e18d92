"""Arrow transactions as kernel rows, without a Python object per row.

Texts with few distinct values (category, country, channel, outcome) are dictionary-encoded and coded once per value.
Identities are hashed directly from Arrow's buffers. All text types of Arrow are accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cardwatch.errors import CardwatchError
from cardwatch.features.columns import CHANNEL_CODES, OUTCOME_CODES, category_code, country_code, kernel_rows
from cardwatch.features.hashing import hash_slices

# The stubs of pyarrow do not give the types of arrays that compute functions return.
Arrow: TypeAlias = Any

KERNEL_COLUMNS: Final = (
    "transaction_id",
    "card_id",
    "merchant_id",
    "occurred_at",
    "amount_minor",
    "merchant_category",
    "channel",
    "country",
    "latitude",
    "longitude",
    "device_id",
    "previous_outcome",
)
"""Columns that features are computed from, and `card_id`, which selects the state."""

REPEATING_COLUMNS: Final = ("merchant_category", "channel", "country", "previous_outcome")
"""Columns with few distinct values. Parquet stores them as dictionaries, which readers should keep."""

_MILLISECONDS: Final = pa.timestamp("ms", "UTC")


def arrow_kernel_rows(transactions: pa.Table) -> NDArray[np.void]:
    """Return n transactions with at least `KERNEL_COLUMNS` as dtype COLUMNS [n].

    Raises `CardwatchError` naming the column if a required one has a missing value, or a value that has no code.
    """
    return kernel_rows(
        transactions.num_rows,
        transaction_hash=_hashes(_required(transactions, "transaction_id")),
        merchant_hash=_hashes(_required(transactions, "merchant_id")),
        device_hash=_hashes(_combined(transactions["device_id"])),
        occurred_at_ms=epoch_ms(transactions),
        amount_minor=_required(transactions, "amount_minor").to_numpy(zero_copy_only=False),
        latitude=_numbers(transactions["latitude"]),
        longitude=_numbers(transactions["longitude"]),
        category=_codes(_required(transactions, "merchant_category"), "merchant_category", category_code),
        country=_codes(_required(transactions, "country"), "country", country_code),
        channel=_codes(_required(transactions, "channel"), "channel", CHANNEL_CODES.__getitem__),
        previous_outcome=_codes(
            _combined(transactions["previous_outcome"]), "previous_outcome", OUTCOME_CODES.__getitem__
        ),
    )


def epoch_ms(transactions: pa.Table) -> NDArray[np.int64]:
    """Return the times of transactions in milliseconds since 1970, int64 [n]."""
    try:
        moments = _required(transactions, "occurred_at").cast(_MILLISECONDS)
    except pa.ArrowInvalid as error:
        raise CardwatchError(
            f"occurred_at holds no times in whole milliseconds, as the log has them: {error}"
        ) from error
    return cast(NDArray[np.int64], moments.view(pa.int64()).to_numpy(zero_copy_only=False))


def distinct(texts: pa.ChunkedArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts in order of appearance, and the index of each row's text. Hashes are not used."""
    encoded = _dictionary(_combined(texts))
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    try:
        return encoded.dictionary.to_pylist(), codes
    except UnicodeDecodeError as error:  # other programs store the bytes of any encoding as text
        raise CardwatchError(f"an identifier is not UTF-8 text: {error.object!r}; write the files again") from error


def hashes(texts: pa.ChunkedArray[Any]) -> NDArray[np.uint64]:
    """Return the identity hash of each text, uint64 [n], 0 for a missing one."""
    return _hashes(_combined(texts))


def codes_with_missing(texts: pa.ChunkedArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts, and the index of each row's text, int64 [n], -1 for a missing one."""
    encoded = _dictionary(_combined(texts))
    indices = encoded.indices.fill_null(-1) if encoded.null_count else encoded.indices
    return encoded.dictionary.to_pylist(), indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _required(transactions: pa.Table, name: str) -> Arrow:
    values = _combined(transactions[name])
    if values.null_count:
        raise CardwatchError(f"{values.null_count} of {len(values)} transactions have no {name}, which is required")
    return values


def _combined(column: Arrow) -> Arrow:
    """Return a column as one array. A column of nulls without a type becomes text."""
    combined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return combined.cast(pa.string()) if pa.types.is_null(combined.type) else combined


def _dictionary(texts: Arrow) -> Arrow:
    if pa.types.is_dictionary(texts.type):
        # The dictionary of a file or slice may be in another order, and contain values that no row has.
        texts = texts.dictionary.take(texts.indices)
    return texts.dictionary_encode()


def _codes(texts: Arrow, name: str, code: Callable[[str], int]) -> NDArray[np.int32]:
    """Return the code of each text, 0 for a missing one."""
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    codes = np.zeros(len(encoded.dictionary) + 1, np.int32)  # the last code is that of a missing text
    for position, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            codes[position] = code(text)
        except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
            raise CardwatchError(f"{text!r} in the column {name} has no code") from error
    indices = encoded.indices.fill_null(len(encoded.dictionary)) if encoded.null_count else encoded.indices
    return cast(NDArray[np.int32], codes[indices.to_numpy(zero_copy_only=False)])


def _hashes(texts: Arrow) -> NDArray[np.uint64]:
    """Return identity hashes, 0 for a missing text."""
    if pa.types.is_dictionary(texts.type):
        dictionary_hashes = np.append(_hashes(texts.dictionary), np.uint64(0))
        indices = texts.indices.fill_null(len(texts.dictionary)) if texts.null_count else texts.indices
        return cast(NDArray[np.uint64], dictionary_hashes[indices.to_numpy(zero_copy_only=False)])
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        texts = texts.cast(pa.large_string())
    if not len(texts):
        return np.zeros(0, np.uint64)  # an empty array may have no buffers
    _, offsets, data = texts.buffers()
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    bounds = np.frombuffer(offsets, kind)[texts.offset : texts.offset + len(texts) + 1]
    hashes = hash_slices(np.frombuffer(data, np.uint8) if data is not None else _NO_BYTES, bounds)
    if texts.null_count:
        hashes[texts.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashes


def _numbers(column: Arrow) -> NDArray[np.float64]:
    """Return numbers, NaN for missing ones."""
    return cast(NDArray[np.float64], _combined(column.cast(pa.float64())).to_numpy(zero_copy_only=False))


_NO_BYTES: Final = np.frombuffer(b"", np.uint8)
