"""Transactions as the kernel reads them: one packed row each, with identities as 64-bit hashes.

Two entrances, one meaning: `encode` for transactions as structs (stream, question), `encode_columns` for whole columns
(replay of files). A property test holds them equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import Channel, Outcome, Transaction, to_epoch_ms

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

CHANNEL_CODES: Final = {channel.value: code for code, channel in enumerate(Channel)}
OUTCOME_CODES: Final = {Outcome.APPROVED.value: 1, Outcome.DECLINED.value: 2}


@lru_cache(maxsize=65_536)
def identity_hash(identifier: str | None) -> int:
    """64 bits that stand for an identifier, the same on every machine; 0 only for None."""
    if identifier is None:
        return 0
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "little") or 1


def country_code(country: str) -> int:
    """AA -> 0 ... ZZ -> 675."""
    return (ord(country[0]) - 65) * 26 + ord(country[1]) - 65


def encode(transactions: Sequence[Transaction]) -> NDArray[np.void]:
    """These transactions as kernel rows [n], in the same order."""
    rows = [
        (
            identity_hash.__wrapped__(transaction.transaction_id),  # ids do not repeat: keep them out of the cache
            identity_hash(transaction.merchant_id),
            identity_hash(transaction.device_id),
            to_epoch_ms(transaction.occurred_at),
            transaction.amount_minor,
            np.nan if transaction.latitude is None else transaction.latitude,
            np.nan if transaction.longitude is None else transaction.longitude,
            int(transaction.merchant_category),
            country_code(transaction.country),
            CHANNEL_CODES[transaction.channel.value],
            0 if transaction.previous_outcome is None else OUTCOME_CODES[transaction.previous_outcome.value],
        )
        for transaction in transactions
    ]
    return np.array(rows, COLUMNS)


def encode_columns(  # noqa: PLR0913 (a column each)
    *,
    transaction_ids: Sequence[str],
    merchant_ids: Sequence[str],
    occurred_at_ms: NDArray[np.int64],
    amount_minor: NDArray[np.int64],
    merchant_category: Sequence[str],
    channel: Sequence[str],
    country: Sequence[str],
    latitude: NDArray[np.float64] | None = None,
    longitude: NDArray[np.float64] | None = None,
    device_ids: Sequence[str | None] | None = None,
    previous_outcome: Sequence[str | None] | None = None,
) -> NDArray[np.void]:
    """The same rows from whole columns of n values each. Missing numbers are NaN, missing strings None."""
    rows = np.zeros(len(transaction_ids), COLUMNS)
    rows["transaction_hash"] = np.fromiter(map(identity_hash.__wrapped__, transaction_ids), np.uint64, len(rows))
    rows["merchant_hash"] = _coded(merchant_ids, identity_hash, np.uint64)
    rows["device_hash"] = 0 if device_ids is None else _coded(device_ids, identity_hash, np.uint64)
    rows["occurred_at_ms"] = occurred_at_ms
    rows["amount_minor"] = amount_minor
    rows["latitude"] = np.nan if latitude is None else latitude
    rows["longitude"] = np.nan if longitude is None else longitude
    rows["category"] = _coded(merchant_category, int, np.int32)
    rows["country"] = _coded(country, country_code, np.int32)
    rows["channel"] = _coded(channel, CHANNEL_CODES.__getitem__, np.int32)
    if previous_outcome is not None:
        rows["previous_outcome"] = _coded(previous_outcome, lambda name: OUTCOME_CODES.get(name, 0), np.int32)
    return rows


def card_index(card_ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct cards in order of appearance, and per transaction the position of its card among them."""
    positions: dict[str, int] = {}
    index = np.fromiter((positions.setdefault(card, len(positions)) for card in card_ids), np.int64, len(card_ids))
    return list(positions), index


def _coded(values: Sequence[Any], code: Any, dtype: type[np.generic]) -> NDArray[Any]:
    codes = {value: code(value) for value in set(values)}
    return np.fromiter((codes[value] for value in values), dtype, len(values))
