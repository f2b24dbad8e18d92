"""Examples for a first request: transactions that a running service can score, because they fit its own data.

A fixed example would name a card that does not exist and a day for which every reference table is too old, so that the
rules and not the model would decide. `of_stack` names a card and a merchant of the archived log, and is shown to
callers with an API key only. `of_new_cards` names no data of the stack, so the documentation shows it to everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from msgspec import structs

from adapters.scoring.wire_format import ExampleRequest
from cardwatch.errors import CorruptTable, StoreUnavailable
from cardwatch.events import AuthorizationOutcome, Channel, Transaction, from_epoch_ms, to_epoch_ms, utc_day
from cardwatch.features.reference_choice import Tables, choose_table
from cardwatch.features.reference_table import ReferenceTable
from services.scoring.api.card_states import CardStateReader

NOON_WITHOUT_TABLES: Final = datetime(2025, 1, 6, 12, tzinfo=UTC)
"""Event time of the examples while there is no reference table, when every day can be scored. The simulation's first
day."""
DELAY: Final = timedelta(minutes=1)
"""Time from the newest transaction of a card to the example."""
LAST_DAY: Final = date(9998, 12, 31)
"""The last day on which a transaction may occur."""

_ABOUT_STACK: Final = (
    "Card, merchant and amount of a transaction that the archive has read; the event time is one minute after the"
    " card's newest transaction. The answer is what would be decided if the card paid like this again."
)
_ABOUT_LATE: Final = (
    "Card, merchant and amount of a transaction that the archive has read; the event time is on the day of the newest"
    " reference table, because that table is too old for the card's newest transaction."
)
ABOUT_NEW_CARD: Final = (
    "Card and merchant are unknown to this service, because no transaction has been archived yet; the event time is on"
    " the day of the newest reference table. The answer is what would be decided about the first payment of a new card."
)


class ExampleSource:
    """Makes examples that fit the reference tables and card states. `latest` returns a transaction of the log, or None.

    `of_stack` reads a card state, which may take long if the store is on another machine.
    """

    def __init__(self, tables: Tables, states: CardStateReader, latest: Callable[[], Transaction | None]) -> None:
        self._tables, self._states, self._latest = tables, states, latest

    def of_stack(self) -> ExampleRequest:
        """Return the next transaction of a card of the stack, or that of a new card if none is known."""
        latest = self._latest()
        if latest is None:
            return ExampleRequest(transaction=self.of_new_cards()[0], about=ABOUT_NEW_CARD)
        moment, about = self._after_newest(latest), _ABOUT_STACK
        day = utc_day(moment)
        if day > LAST_DAY or choose_table(self._tables, day).degraded_reason is not None:
            moment, about = self.noon(), _ABOUT_LATE
        transaction = structs.replace(latest, transaction_id="example-1", occurred_at=moment)
        return ExampleRequest(transaction=transaction, about=about)

    def of_new_cards(self) -> tuple[Transaction, Transaction]:
        """Return an online payment and a payment in a shop, of cards and merchants that nobody has."""
        noon = self.noon()
        online = Transaction(
            transaction_id="example-1",
            card_id="example-card-1",
            merchant_id="example-merchant-1",
            occurred_at=noon,
            amount_minor=129_900,
            currency="EUR",
            merchant_category="5732",
            channel=Channel.ECOMMERCE,
            country="DE",
            device_id="example-device-1",
            customer_id="example-customer-1",
            previous_outcome=AuthorizationOutcome.DECLINED,
            card_range="example-range-1",
        )
        in_a_shop = Transaction(
            transaction_id="example-2",
            card_id="example-card-2",
            merchant_id="example-merchant-2",
            occurred_at=noon + timedelta(hours=5, minutes=31, seconds=7),
            amount_minor=2_450,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CONTACTLESS,
            country="FR",
            latitude=48.8566,
            longitude=2.3522,
        )
        return online, in_a_shop

    def noon(self) -> datetime:
        """Return noon (UTC) of the day from which the newest reference table is valid."""
        table = self.newest_table()
        if table.table_id == ReferenceTable.empty().table_id:
            return NOON_WITHOUT_TABLES
        return table.valid_from + timedelta(hours=12)

    def newest_table(self) -> ReferenceTable:
        """Return the newest reference table, the empty table if there is none or its file is damaged."""
        try:
            return self._tables.newest(LAST_DAY)
        except CorruptTable:
            return ReferenceTable.empty()

    def _after_newest(self, latest: Transaction) -> datetime:
        """Return the time of the card's newest transaction plus `DELAY`; without the store, that of `latest` counts."""
        newest_ms = to_epoch_ms(latest.occurred_at)
        try:
            [state] = self._states.load([latest.card_id])
        except StoreUnavailable:
            return from_epoch_ms(newest_ms) + DELAY
        return from_epoch_ms(max(newest_ms, int(state["last_at_ms"]))) + DELAY
