"""Payments at merchants of which some are compromised: time, card, merchant, amount, and what is fraud.

Own code with the rules of the transaction simulator in Le Borgne, Siblini, Lebichot and Bontempi, "Reproducible Machine
Learning for Credit Card Fraud Detection - Practical Handbook" (2022), chapter 3.
"""

from __future__ import annotations

from datetime import date
from enum import IntEnum
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

DAY_MS: Final = 86_400_000
SQUARE: Final = 100.0
"""Side of the square in which cards and merchants lie."""
REACH: Final = 5.0
"""A card pays at the merchants that are nearer than this."""
LARGE_MINOR: Final = 22_000
"""Every payment above this amount is fraud; in minor units."""
MERCHANTS_A_DAY, MERCHANT_DAYS = 2, 28
"""Merchants that are compromised each day, and how long all their payments are fraud."""
CARDS_A_DAY, CARD_DAYS = 3, 14
"""Cards that are compromised each day, and how long a third of their payments is fraud."""
CARD_FRAUD_SHARE: Final = 1.0 / 3.0
CARD_FRAUD_FACTOR: Final = 5
"""Such a payment has this many times its amount."""

PAYMENT: Final = np.dtype(
    [("occurred_at_ms", "<i8"), ("card", "<i4"), ("merchant", "<i4"), ("amount_minor", "<i8"), ("cause", "i1")]
)


class FraudCause(IntEnum):
    """Why a payment is fraud; the later one where two hold."""

    NONE = 0
    LARGE_AMOUNT = 1
    MERCHANT = 2
    CARD = 3


class CompromiseWorld(Struct, frozen=True, kw_only=True):
    """Settings; equal ones give equal payments."""

    seed: int
    cards: int = 5_000
    merchants: int = 10_000
    days: int = 100
    first_day: date = date(2025, 1, 6)

    def payments(self) -> NDArray[np.void]:
        """Return all payments in the order of time, dtype `PAYMENT` [n]."""
        random = np.random.default_rng(self.seed)
        nearby, starts = self._merchants_nearby(random)
        choices = np.diff(starts)
        mean_amount = random.uniform(5.0, 100.0, self.cards)
        daily = np.where(choices > 0, random.uniform(0.0, 4.0, self.cards), 0.0)
        merchant_until, card_until = np.zeros(self.merchants, np.int64), np.zeros(self.cards, np.int64)
        midnight_ms = (self.first_day - date(1970, 1, 1)).days * DAY_MS
        days = []
        for day in range(self.days):
            rows = np.zeros(int((counts := random.poisson(daily)).sum()), PAYMENT)
            cards = np.repeat(np.arange(self.cards), counts)
            seconds = np.clip(random.normal(43_200.0, 20_000.0, len(rows)), 0.0, 86_399.0)
            amounts = np.abs(random.normal(mean_amount[cards], mean_amount[cards] / 2.0))
            merchants = nearby[starts[cards] + (random.random(len(rows)) * choices[cards]).astype(np.int64)]
            merchant_until[random.choice(self.merchants, MERCHANTS_A_DAY, replace=False)] = day + MERCHANT_DAYS
            card_until[random.choice(self.cards, CARDS_A_DAY, replace=False)] = day + CARD_DAYS
            rows["occurred_at_ms"] = midnight_ms + day * DAY_MS + np.floor(seconds).astype(np.int64) * 1_000
            rows["card"], rows["merchant"] = cards, merchants
            rows["amount_minor"] = np.rint(amounts * 100.0)
            rows["cause"][rows["amount_minor"] > LARGE_MINOR] = FraudCause.LARGE_AMOUNT
            rows["cause"][merchant_until[merchants] > day] = FraudCause.MERCHANT
            by_card = (card_until[cards] > day) & (random.random(len(rows)) < CARD_FRAUD_SHARE)
            rows["amount_minor"][by_card] *= CARD_FRAUD_FACTOR
            rows["cause"][by_card] = FraudCause.CARD
            days.append(rows[np.argsort(rows["occurred_at_ms"], kind="stable")])
        return np.concatenate(days)

    def _merchants_nearby(self, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the merchants within reach of each card, one card after the other, and where each card's begin."""
        cards, merchants = (random.uniform(0.0, SQUARE, (2, count)) for count in (self.cards, self.merchants))
        found = [
            np.flatnonzero(np.hypot(merchants[0] - x, merchants[1] - y) < REACH) for x, y in zip(*cards, strict=True)
        ]
        return np.concatenate(found), np.concatenate([[0], np.cumsum([len(of_card) for of_card in found])])
