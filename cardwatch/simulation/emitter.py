"""Conversion of simulated transactions and labels to records, as a payment network would send them."""

from __future__ import annotations

from typing import Final

from cardwatch.events import AuthorizationOutcome, Channel, Label, Transaction, from_epoch_ms
from cardwatch.simulation.cities import COUNTRIES
from cardwatch.simulation.label_array import SOURCES, LabelArray
from cardwatch.simulation.population import Population
from cardwatch.simulation.tokens import opaque
from cardwatch.simulation.transaction_array import (
    NO_DEVICE,
    TransactionArray,
)

_CHANNELS: Final = tuple(Channel)
_OUTCOMES: Final = (None, AuthorizationOutcome.APPROVED, AuthorizationOutcome.DECLINED)


def transaction_id(day: int, number: int) -> str:
    """Return the id of transaction `number` of day number `day`."""
    return f"t-{day:05d}-{number:06d}"


class RecordEmitter:
    """Creates the records. Location is set where the card was present, device online and for phone wallets."""

    def __init__(self, population: Population) -> None:
        self._card_ids = [f"card-{card:06d}" for card in range(population.cards.count)]
        self._customer_ids = opaque("u", population.cards.customer)
        self._ranges = opaque("r", population.cards.card_range)
        self._country = [COUNTRIES[city] for city in population.merchants.city.tolist()]
        self._latitude = population.merchants.latitude.tolist()
        self._longitude = population.merchants.longitude.tolist()

    def transactions(self, day: int, simulated: TransactionArray) -> list[Transaction]:
        """Return the records of day number `day`, in the order of the simulated transactions."""
        fields = ("number", "occurred_at_ms", "amount_minor", "card", "merchant", "category", "device", "channel")
        more = ("previous_outcome", "has_place", "has_customer", "has_range")
        events = zip(
            *(simulated[field].tolist() for field in fields + more),
            opaque("m", simulated["merchant_number"]),
            opaque("d", simulated["device"]),
            strict=True,
        )
        return [
            Transaction(
                transaction_id=transaction_id(day, number),
                card_id=self._card_ids[card],
                merchant_id=merchant_id,
                occurred_at=from_epoch_ms(occurred_at_ms),
                amount_minor=amount_minor,
                currency="EUR",
                merchant_category=f"{category:04d}",
                channel=_CHANNELS[channel],
                country=self._country[merchant],
                latitude=self._latitude[merchant] if has_place else None,
                longitude=self._longitude[merchant] if has_place else None,
                device_id=None if device == NO_DEVICE else device_id,
                customer_id=self._customer_ids[card] if has_customer else None,
                previous_outcome=_OUTCOMES[outcome],
                card_range=self._ranges[card] if has_range else None,
            )
            for (
                number, occurred_at_ms, amount_minor, card, merchant, category, device, channel,
                outcome, has_place, has_customer, has_range, merchant_id, device_id
            ) in events
        ]  # fmt: skip

    def labels(self, simulated: LabelArray) -> list[Label]:
        """Return the records of these labels, in their order."""
        fields = ("observed_at_ms", "effective_at_ms", "day", "number", "card", "is_fraud", "source")
        columns = (simulated[field].tolist() for field in fields)
        return [
            Label(
                transaction_id=transaction_id(day, number),
                card_id=self._card_ids[card],
                merchant_id=merchant_id,
                is_fraud=is_fraud,
                effective_at=from_epoch_ms(effective_at_ms),
                observed_at=from_epoch_ms(observed_at_ms),
                source=SOURCES[source],
            )
            for (observed_at_ms, effective_at_ms, day, number, card, is_fraud, source), merchant_id in zip(
                zip(*columns, strict=True), opaque("m", simulated["merchant_number"]), strict=True
            )
        ]
