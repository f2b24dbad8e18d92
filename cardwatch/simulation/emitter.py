"""From drafts to transactions as the payment network tells them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import AuthorizationOutcome, Channel, Transaction, from_epoch_ms
from cardwatch.simulation.categories import CODES
from cardwatch.simulation.drafts import ATM, CHIP, CONTACTLESS, NO_DEVICE, SWIPE, Drafts, Ints, Kind
from cardwatch.simulation.places import COUNTRIES
from cardwatch.simulation.population import Population
from cardwatch.simulation.tokens import opaque

_CHANNELS: Final = tuple(Channel)
_OUTCOMES: Final = (None, AuthorizationOutcome.APPROVED, AuthorizationOutcome.DECLINED)
_UNKNOWN, _APPROVED, _DECLINED = range(3)
_PRESENT: Final = (CHIP, CONTACTLESS, SWIPE, ATM)
_NO_FUNDS: Final = 0.015
_TESTED_DEAD: Final = 0.15


class AuthorizationOutcomes:
    """What became of each card's previous attempt. Some fail for lack of funds; none by our decision."""

    def __init__(self, cards: int) -> None:
        self._latest = np.full(cards, _UNKNOWN, dtype=np.int64)

    def previous(self, rng: np.random.Generator, drafts: Drafts) -> Ints:
        """For each draft, in order of time, the outcome of the attempt before it with the same card."""
        trying = drafts["kind"] == Kind.CARD_TESTING
        failed = rng.random(len(drafts)) < np.where(trying, _TESTED_DEAD, _NO_FUNDS)
        outcome = np.where(failed, _DECLINED, _APPROVED)
        order = np.argsort(drafts["card"], kind="stable")
        card = drafts["card"][order]
        first = np.ones(len(drafts), dtype=np.bool_)
        first[1:] = card[1:] != card[:-1]
        before = np.empty(len(drafts), dtype=np.int64)
        before[order] = np.where(first, self._latest[card], np.roll(outcome[order], 1))
        self._latest[drafts["card"]] = outcome  # the last assignment stands: the latest attempt
        return before


class TransactionEmitter:
    """Writes transactions. A place is told where the card was present, a device online and for phones that tap."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._card_ids = [f"card-{card:06d}" for card in range(population.cards.count)]
        self._customer_ids = opaque("u", population.cards.customer)
        self._country = [COUNTRIES[city] for city in population.merchants.city.tolist()]
        self._category = [CODES[category] for category in population.merchants.category.tolist()]
        self._latitude = population.merchants.latitude.tolist()
        self._longitude = population.merchants.longitude.tolist()

    def transactions(self, day: int, drafts: Drafts, previous: Ints) -> list[Transaction]:
        """The transactions of `day`, one for each draft and in the same order."""
        present: NDArray[np.bool_] = np.isin(drafts["channel"], _PRESENT)
        columns = zip(
            drafts["card"].tolist(),
            drafts["merchant"].tolist(),
            self._population.merchants.tokens(drafts["merchant"]),
            drafts["occurred_ms"].tolist(),
            drafts["amount_minor"].tolist(),
            drafts["channel"].tolist(),
            present.tolist(),
            (drafts["device"] != NO_DEVICE).tolist(),
            opaque("d", drafts["device"]),
            previous.tolist(),
            strict=True,
        )
        return [
            Transaction(
                transaction_id=f"t-{day:05d}-{number:06d}",
                card_id=self._card_ids[card],
                merchant_id=merchant_id,
                occurred_at=from_epoch_ms(occurred_ms),
                amount_minor=amount_minor,
                currency="EUR",
                merchant_category=self._category[merchant],
                channel=_CHANNELS[channel],
                country=self._country[merchant],
                latitude=self._latitude[merchant] if is_present else None,
                longitude=self._longitude[merchant] if is_present else None,
                device_id=device_id if has_device else None,
                customer_id=self._customer_ids[card],
                previous_outcome=_OUTCOMES[outcome],
            )
            for number, (
                card, merchant, merchant_id, occurred_ms, amount_minor, channel, is_present, has_device, device_id,
                outcome,
            ) in enumerate(columns)
        ]  # fmt: skip
