"""Conversion of simulated transactions to records, as a payment network would send them."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.events import AuthorizationOutcome, Channel, Transaction, from_epoch_ms
from cardwatch.simulation.categories import CODES
from cardwatch.simulation.cities import COUNTRIES
from cardwatch.simulation.population import Population
from cardwatch.simulation.tokens import opaque
from cardwatch.simulation.transaction_array import (
    ATM,
    CHIP,
    CONTACTLESS,
    NO_DEVICE,
    SWIPE,
    FraudType,
    Ints,
    TransactionArray,
)

_CHANNELS: Final = tuple(Channel)
_OUTCOMES: Final = (None, AuthorizationOutcome.APPROVED, AuthorizationOutcome.DECLINED)
_UNKNOWN, _APPROVED, _DECLINED = range(3)
_PRESENT: Final = (CHIP, CONTACTLESS, SWIPE, ATM)
_DECLINE_PROBABILITY: Final = 0.015
"""Probability that an attempt fails for lack of funds."""
_TEST_DECLINE_PROBABILITY: Final = 0.15
"""The same for an attempt of card testing, whose card may be blocked."""


class AuthorizationOutcomes:
    """The outcome of each card's previous attempt. Cardwatch's own decisions have no influence on it."""

    def __init__(self, cards: int) -> None:
        self._latest = np.full(cards, _UNKNOWN, dtype=np.int64)

    def previous(self, rng: np.random.Generator, simulated: TransactionArray) -> Ints:
        """Return per transaction, in order of time, the outcome of the attempt before it with the same card."""
        is_test = simulated["fraud_type"] == FraudType.CARD_TESTING
        failed = rng.random(len(simulated)) < np.where(is_test, _TEST_DECLINE_PROBABILITY, _DECLINE_PROBABILITY)
        outcome = np.where(failed, _DECLINED, _APPROVED)
        order = np.argsort(simulated["card"], kind="stable")
        card = simulated["card"][order]
        first = np.ones(len(simulated), dtype=np.bool_)
        first[1:] = card[1:] != card[:-1]
        before = np.empty(len(simulated), dtype=np.int64)
        before[order] = np.where(first, self._latest[card], np.roll(outcome[order], 1))
        self._latest[simulated["card"]] = outcome  # the last assignment stands: the latest attempt
        return before


class TransactionEmitter:
    """Creates the records. Location is set where the card was present, device online and for phone wallets."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._card_ids = [f"card-{card:06d}" for card in range(population.cards.count)]
        self._customer_ids = opaque("u", population.cards.customer)
        self._country = [COUNTRIES[city] for city in population.merchants.city.tolist()]
        self._category = [CODES[category] for category in population.merchants.category.tolist()]
        self._latitude = population.merchants.latitude.tolist()
        self._longitude = population.merchants.longitude.tolist()

    def transactions(self, day: int, simulated: TransactionArray, previous: Ints) -> list[Transaction]:
        """Return the records of day number `day`, in the order of the simulated transactions."""
        events = zip(
            simulated.tolist(),
            self._population.merchants.ids(simulated["merchant"]),
            opaque("d", simulated["device"]),
            previous.tolist(),
            strict=True,
        )
        return [
            Transaction(
                transaction_id=f"t-{day:05d}-{number:06d}",
                card_id=self._card_ids[card],
                merchant_id=merchant_id,
                occurred_at=from_epoch_ms(occurred_at_ms),
                amount_minor=amount_minor,
                currency="EUR",
                merchant_category=self._category[merchant],
                channel=_CHANNELS[channel],
                country=self._country[merchant],
                latitude=self._latitude[merchant] if channel in _PRESENT else None,
                longitude=self._longitude[merchant] if channel in _PRESENT else None,
                device_id=None if device == NO_DEVICE else device_id,
                customer_id=self._customer_ids[card],
                previous_outcome=_OUTCOMES[outcome],
            )
            for number, (
                (occurred_at_ms, amount_minor, card, merchant, device, channel, _), merchant_id, device_id, outcome
            ) in enumerate(events)
        ]  # fmt: skip
