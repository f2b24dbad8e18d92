"""Kernel rows: transactions as one packed row each, with identifiers as 64-bit hashes.

`encode` converts transactions that are structs (stream, scoring request), `kernel_rows` columns that hold codes already
(replay of files). A property test checks that both give the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct as ByteLayout
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import AuthorizationOutcome, Channel, Transaction, to_epoch_ms
from cardwatch.features.hashing import identity_hash, known_identity_hash

COLUMNS: Final = np.dtype(
    [
        ("transaction_hash", "<u8"),
        ("merchant_hash", "<u8"),
        ("device_hash", "<u8"),  # 0: no device
        ("occurred_at_ms", "<i8"),
        ("amount_minor", "<i8"),
        ("latitude", "<f8"),  # NaN: no location
        ("longitude", "<f8"),
        ("category", "<i4"),
        ("country", "<i4"),  # 0..675
        ("channel", "<i4"),  # position in `Channel`
        ("previous_outcome", "<i4"),  # 0: unknown, 1: approved, 2: declined
    ]
)
_ROW: Final = ByteLayout("<QQQqqddiiii")  # the layout of one row of COLUMNS
_NAN: Final = float("nan")

CHANNEL_CODES: Final = {channel.value: code for code, channel in enumerate(Channel)}
OUTCOME_CODES: Final = {AuthorizationOutcome.APPROVED.value: 1, AuthorizationOutcome.DECLINED.value: 2}
_CODE_OF: Final[dict[Channel | AuthorizationOutcome | None, int]] = {
    **{channel: CHANNEL_CODES[channel.value] for channel in Channel},
    **{outcome: OUTCOME_CODES[outcome.value] for outcome in AuthorizationOutcome},
    None: 0,
}

ColumnOrScalar: TypeAlias = NDArray[Any] | float
"""A column of n values, or one value for all rows."""


@lru_cache(maxsize=1_024)
def country_code(country: str) -> int:
    """Return the code of an ISO 3166-1 alpha-2 country: AA is 0, ZZ is 675."""
    return (ord(country[0]) - 65) * 26 + ord(country[1]) - 65


@lru_cache(maxsize=16_384)
def category_code(merchant_category: str) -> int:
    """Return the four digits of an ISO 18245 category as a number."""
    return int(merchant_category)


def encode(transactions: Sequence[Transaction]) -> NDArray[np.void]:
    """Return these n transactions as kernel rows, dtype COLUMNS [n], in the same order.

    >>> from cardwatch.events import EPOCH
    >>> row = encode([
    ...     Transaction(
    ...         transaction_id="t-1", card_id="c-1", merchant_id="m-1", occurred_at=EPOCH, amount_minor=1250,
    ...         currency="EUR", merchant_category="5411", channel=Channel.CHIP, country="DE",
    ...     )
    ... ])[0]
    >>> int(row["amount_minor"]), int(row["category"]), int(row["country"]), int(row["device_hash"])
    (1250, 5411, 82, 0)
    """
    rows = bytearray(_ROW.size * len(transactions))
    for index, transaction in enumerate(transactions):
        write_row(rows, index * _ROW.size, transaction)
    return np.frombuffer(rows, COLUMNS)


def write_row(rows: bytearray, offset: int, transaction: Transaction) -> None:
    """Write a transaction to the bytes of kernel rows at `offset`."""
    latitude, longitude = transaction.latitude, transaction.longitude
    _ROW.pack_into(
        rows,
        offset,
        identity_hash(transaction.transaction_id),  # not cached: transaction ids rarely repeat
        known_identity_hash(transaction.merchant_id),
        known_identity_hash(transaction.device_id),
        to_epoch_ms(transaction.occurred_at),
        transaction.amount_minor,
        _NAN if latitude is None else latitude,
        _NAN if longitude is None else longitude,
        category_code(transaction.merchant_category),
        country_code(transaction.country),
        _CODE_OF[transaction.channel],
        _CODE_OF[transaction.previous_outcome],
    )


def kernel_rows(  # noqa: PLR0913 (a column each)
    count: int,
    *,
    transaction_hash: NDArray[np.uint64],
    merchant_hash: NDArray[np.uint64],
    occurred_at_ms: NDArray[np.int64],
    amount_minor: NDArray[np.int64],
    category: ColumnOrScalar,
    country: ColumnOrScalar,
    channel: ColumnOrScalar,
    device_hash: ColumnOrScalar = 0,
    latitude: ColumnOrScalar = _NAN,
    longitude: ColumnOrScalar = _NAN,
    previous_outcome: ColumnOrScalar = 0,
) -> NDArray[np.void]:
    """Return kernel rows, dtype COLUMNS [`count`], from columns. An omitted column is missing in every row."""
    rows = np.empty(count, COLUMNS)
    rows["transaction_hash"] = transaction_hash
    rows["merchant_hash"] = merchant_hash
    rows["device_hash"] = device_hash
    rows["occurred_at_ms"] = occurred_at_ms
    rows["amount_minor"] = amount_minor
    rows["latitude"] = latitude
    rows["longitude"] = longitude
    rows["category"] = category
    rows["country"] = country
    rows["channel"] = channel
    rows["previous_outcome"] = previous_outcome
    return rows


def card_index(card_ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct cards in order of appearance, and per transaction the index of its card: int64 [n].

    >>> cards, index = card_index(["c-1", "c-2", "c-1"])
    >>> cards, index.tolist()
    (['c-1', 'c-2'], [0, 1, 0])
    """
    indexes: dict[str, int] = {}
    index = np.fromiter((indexes.setdefault(card, len(indexes)) for card in card_ids), np.int64, len(card_ids))
    return list(indexes), index
