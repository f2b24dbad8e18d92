"""Transactions to measure with, as kernel rows and as structs: every field filled, nothing learnt from them."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import AuthorizationOutcome, Channel, Transaction, from_epoch_ms
from cardwatch.features.columns import COLUMNS
from cardwatch.features.reference_table import (
    COMPROMISED_SECTION,
    DAY_MS,
    DEVICE_SECTION,
    MERCHANT_SECTION,
    SECTION_VALUES,
    ReferenceTable,
    TableSection,
)

FIRST_DAY: Final = 20_089
"""1 January 2025."""
DAYS: Final = 60
MERCHANTS: Final = 5_000
DEVICES: Final = 30_000


def random_columns(rows: int, cards: int, *, seed: int = 1) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """`rows` kernel rows over two months in order of time, and the card of each."""
    random = np.random.default_rng(seed)
    columns = np.zeros(rows, COLUMNS)
    columns["transaction_hash"] = random.integers(1, 2**63, rows)
    columns["merchant_hash"] = random_table().sections[MERCHANT_SECTION].hashes[random.integers(0, MERCHANTS, rows)]
    columns["device_hash"] = random.integers(0, DEVICES, rows)
    columns["occurred_at_ms"] = np.sort(random.integers(0, DAYS * DAY_MS, rows)) + FIRST_DAY * DAY_MS
    columns["amount_minor"] = random.integers(0, 50_000, rows)
    columns["latitude"], columns["longitude"] = random.uniform(40, 55, rows), random.uniform(0, 20, rows)
    columns["category"], columns["country"] = random.integers(5_000, 5_040, rows), random.integers(0, 20, rows)
    columns["channel"], columns["previous_outcome"] = random.integers(0, 6, rows), random.integers(0, 3, rows)
    return columns, random.integers(0, cards, rows)


@cache
def random_table() -> ReferenceTable:
    """A reference table of all merchants, a tenth of them compromised, and of all devices."""
    random = np.random.default_rng(0)
    merchants = np.sort(random.integers(1, 2**63, MERCHANTS).astype(np.uint64))
    entities = {
        MERCHANT_SECTION: merchants,
        DEVICE_SECTION: np.arange(1, DEVICES, dtype=np.uint64),
        COMPROMISED_SECTION: np.unique(merchants[::10] & np.uint64(0xFFFFFFFF)),
    }
    sections = {
        number: TableSection(hashes, random.uniform(0, 9, (len(hashes), len(SECTION_VALUES[number]))))
        for number, hashes in entities.items()
    }
    return ReferenceTable(FIRST_DAY, sections)


def random_transactions(count: int, cards: int, *, seed: int = 1) -> list[Transaction]:
    """The same kind as structs, as they come out of the log."""
    random = np.random.default_rng(seed)
    moments = np.sort(random.integers(0, DAYS * DAY_MS, count)) + FIRST_DAY * DAY_MS
    channels, outcomes = list(Channel), [None, *AuthorizationOutcome]
    return [
        Transaction(
            transaction_id=f"transaction-{seed:04d}-{i:08d}",
            card_id=f"card-{random.integers(cards):08d}",
            merchant_id=f"merchant-{random.integers(MERCHANTS):06d}",
            occurred_at=from_epoch_ms(int(moments[i])),
            amount_minor=int(random.integers(50_000)),
            currency="EUR",
            merchant_category="5411",
            channel=channels[random.integers(len(channels))],
            country="DE",
            latitude=float(random.uniform(40, 55)),
            longitude=float(random.uniform(0, 20)),
            device_id=f"device-{random.integers(2_000):06d}",
            previous_outcome=outcomes[random.integers(len(outcomes))],
        )
        for i in range(count)
    ]
