"""The kernel made ready: compiled, or loaded from disk, before anybody waits for it.

A process calls `warm_kernel` before it says that it is ready. For images see `cardwatch.warm_up`.
"""

from __future__ import annotations

import numpy as np

from cardwatch.events import EPOCH, Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.hashing import hash_slices
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states


def warm_kernel() -> None:
    """Fold one transaction of nobody, as one struct and with hashes of whole columns."""
    example = Transaction(
        transaction_id="example",
        card_id="example",
        merchant_id="example",
        occurred_at=EPOCH,
        amount_minor=0,
        currency="EUR",
        merchant_category="0000",
        channel=Channel.CHIP,
        country="DE",
    )
    fold(empty_states(1), np.zeros(1, np.int64), encode([example]), ReferenceTable.empty())
    for offsets in (np.int32, np.int64):
        bounds = np.frombuffer(np.array([0, 7], offsets).tobytes(), offsets)
        hash_slices(np.frombuffer(b"example", np.uint8), bounds)
