"""The card of the picture: some payments and one more, folded by the real kernel, step by step."""

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
    """The window of an hour at one moment: what each slot holds, and the running totals."""

    newest: int
    counts: tuple[int, ...]
    count: int
    amount_minor: int

    def starts_at(self, slot: int) -> datetime:
        """When the tile in this slot begins."""
        tile = self.newest - (self.newest - slot) % TILES
        return datetime.fromtimestamp(tile * TILE_MS / 1000, UTC)


class Update(Struct, frozen=True, kw_only=True):
    """One transaction and what it does to the ring: as it was found, moved on and read, and as it is left."""

    transaction: Transaction
    before: Ring
    moved: Ring
    after: Ring
    read_count: float
    read_amount: float


def worked_update() -> Update:
    """Fold the history, then the next payment."""
    history, transaction = [_payment(*when) for when in _HISTORY], _payment(*_NEXT)
    card, table = empty_states(1), ReferenceTable.empty()
    fold(card, np.zeros(len(history), np.int64), encode(history), table)
    before, looking = _ring(card), card.copy()
    advance_windows(looking[0], to_epoch_ms(transaction.occurred_at))
    row = fold(card, np.zeros(1, np.int64), encode([transaction]), table).features[0]
    return Update(
        transaction=transaction,
        before=before,
        moved=_ring(looking),
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
