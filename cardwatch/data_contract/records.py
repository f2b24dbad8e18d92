"""The transactions of one day as columns, as the data contract looks at them."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

CHANNEL: Final = "channel"
CODE_COLUMNS: Final = (CHANNEL, "merchant_category", "country", "currency", "previous_outcome")
"""Fields with few distinct values."""
OPTIONAL_COLUMNS: Final = ("latitude", "longitude", "device_id", "customer_id", "previous_outcome", "card_range")
"""Fields that a record may lack."""
KEY_COLUMNS: Final = ("card_id", "merchant_id", "device_id")
"""Identifiers that features are keyed by."""


class CodeColumn(Struct, frozen=True, eq=False):
    """A column of n codes: `index` is int64 [n], the position of each row's code in `values`, -1 for a missing one."""

    values: list[str]
    index: NDArray[np.int64]


class DayRecords(Struct, frozen=True, kw_only=True):
    """The n records of one event day, in any order.

    `transaction_ids` and the hashes of `keys` (`KEY_COLUMNS`) are identity hashes, uint64 [n], 0 for a missing value.
    `occurred_at_ms` and `amount_minor` are int64 [n]. `codes` has `CODE_COLUMNS`; every row has a channel. `missing`
    has a bool [n] for each of `OPTIONAL_COLUMNS`. `partitions` and `log_offsets`, int64 [n], are the positions in the
    log.
    """

    transaction_ids: Hashes
    keys: dict[str, Hashes]
    occurred_at_ms: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    codes: dict[str, CodeColumn]
    missing: dict[str, NDArray[np.bool_]]
    partitions: NDArray[np.int64]
    log_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Return n."""
        return len(self.occurred_at_ms)
