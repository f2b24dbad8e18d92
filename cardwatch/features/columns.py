"""Transactions as the kernel reads them: one packed row each, with identities as 64-bit hashes.

Two entrances, one meaning: `encode` for transactions as structs (stream, question), and `kernel_rows` for whole
columns whose texts are codes already (replay of files). A property test holds them equal.
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
        ("latitude", "<f8"),  # NaN: no place
        ("longitude", "<f8"),
        ("category", "<i4"),
        ("country", "<i4"),  # 0..675
        ("channel", "<i4"),  # the position in `Channel`
        ("previous_outcome", "<i4"),  # 0: unknown, 1: approved, 2: declined
    ]
)
_ROW: Final = ByteLayout("<QQQqqddiiii")  # the bytes of one row of COLUMNS
_NAN: Final = float("nan")

CHANNEL_CODES: Final = {channel.value: code for code, channel in enumerate(Channel)}
OUTCOME_CODES: Final = {AuthorizationOutcome.APPROVED.value: 1, AuthorizationOutcome.DECLINED.value: 2}
_CODE_OF: Final[dict[Channel | AuthorizationOutcome | None, int]] = {
    **{channel: CHANNEL_CODES[channel.value] for channel in Channel},
    **{outcome: OUTCOME_CODES[outcome.value] for outcome in AuthorizationOutcome},
    None: 0,
}

Values: TypeAlias = NDArray[Any] | float
"""A column of n values, or the one value of all rows."""


@lru_cache(maxsize=1_024)
def country_code(country: str) -> int:
    """AA -> 0 ... ZZ -> 675."""
    return (ord(country[0]) - 65) * 26 + ord(country[1]) - 65


@lru_cache(maxsize=16_384)
def category_code(merchant_category: str) -> int:
    """The four digits as a number."""
    return int(merchant_category)


def encode(transactions: Sequence[Transaction]) -> NDArray[np.void]:
    """These transactions as kernel rows, dtype COLUMNS [n], in the same order."""
    rows = bytearray(_ROW.size * len(transactions))
    for position, transaction in enumerate(transactions):
        latitude, longitude = transaction.latitude, transaction.longitude
        _ROW.pack_into(
            rows,
            position * _ROW.size,
            identity_hash(transaction.transaction_id),  # ids do not repeat: remembering them would only cost
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
    return np.frombuffer(rows, COLUMNS)


def kernel_rows(  # noqa: PLR0913 (a column each)
    count: int,
    *,
    transaction_hash: NDArray[np.uint64],
    merchant_hash: NDArray[np.uint64],
    occurred_at_ms: NDArray[np.int64],
    amount_minor: NDArray[np.int64],
    category: Values,
    country: Values,
    channel: Values,
    device_hash: Values = 0,
    latitude: Values = _NAN,
    longitude: Values = _NAN,
    previous_outcome: Values = 0,
) -> NDArray[np.void]:
    """The same rows, dtype COLUMNS [`count`], from whole columns. What is left out is missing in every row."""
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
    """The distinct cards in order of appearance, and per transaction the position of its card among them."""
    positions: dict[str, int] = {}
    index = np.fromiter((positions.setdefault(card, len(positions)) for card in card_ids), np.int64, len(card_ids))
    return list(positions), index
