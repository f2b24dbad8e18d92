"""The example of the picture: some payments of a card and a next one, folded by the kernel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.events import Channel, Transaction, to_epoch_ms
from cardwatch.features.columns import encode
from cardwatch.features.definitions import column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import HOUR, TILES, WINDOWS_MS, empty_states
from cardwatch.features.windows import advance_windows

TILE_MS: Final = WINDOWS_MS[HOUR] // TILES

_HISTORY: Final = ((11, 2, 1_200), (11, 9, 3_000), (11, 21, 850), (11, 38, 400), (11, 41, 1_990), (11, 57, 4_500))
_NEXT: Final = (12, 7, 6_000)


class Ring(Struct, frozen=True, kw_only=True):
    """The one-hour window at one moment: the content of each slot, and the running totals."""

    newest: int
    counts: tuple[int, ...]
    count: int
    amount_minor: int

    def starts_at(self, slot: int) -> datetime:
        """Return the start of the tile in this slot."""
        tile = self.newest - (self.newest - slot) % TILES
        return datetime.fromtimestamp(tile * TILE_MS / 1000, UTC)


class Update(Struct, frozen=True, kw_only=True):
    """A transaction and the ring before it, advanced to its time, and after it; with the features that were read."""

    transaction: Transaction
    before: Ring
    advanced: Ring
    after: Ring
    read_count: float
    read_amount: float


def worked_update() -> Update:
    """Return the update of the example: its history folded, then the next payment."""
    history, transaction = [_payment(*when) for when in _HISTORY], _payment(*_NEXT)
    card, table = empty_states(1), ReferenceTable.empty()
    fold(card, np.zeros(len(history), np.int64), encode(history), table)
    before, advanced = _ring(card), card.copy()
    advance_windows(advanced[0], to_epoch_ms(transaction.occurred_at))
    row = fold(card, np.zeros(1, np.int64), encode([transaction]), table).features[0]
    return Update(
        transaction=transaction,
        before=before,
        advanced=_ring(advanced),
        after=_ring(card),
        read_count=float(row[column("count_1h")]),
        read_amount=float(row[column("amount_1h")]),
    )


def _payment(hour: int, minute: int, amount_minor: int) -> Transaction:
    return Transaction(
        transaction_id=f"{hour}-{minute}",
        card_id="card",
        merchant_id="shop",
        occurred_at=datetime(2025, 1, 6, hour, minute, tzinfo=UTC),
        amount_minor=amount_minor,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def _ring(card: NDArray[np.void]) -> Ring:
    state = card[0]
    return Ring(
        newest=int(state["newest"][HOUR]),
        counts=tuple(state["tile_count"][HOUR].tolist()),
        count=int(state["window_count"][HOUR]),
        amount_minor=int(state["window_amount"][HOUR]),
    )
