"""The feature table: every feature that the kernel computes, in the order of a feature row.

This is the one place where a feature is defined for people; `kernel.py` computes exactly these. A window of n tiles covers the
current, partial tile and the n - 1 full ones before it: "1 h" means between 55 and 60 minutes. Every feature looks at the
card's history *before* the transaction; a value that cannot be known (no history, no place) is missing (NaN), not zero.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

KERNEL_VERSION: Final = 1
"""Raise it when a feature's meaning changes but its entry below does not."""


class Feature(Struct, frozen=True):
    """One column of a feature row. `reason` is the code shown when the feature speaks for fraud."""

    name: str
    entity: str
    window: str
    unit: str
    meaning: str
    reason: str


FEATURES: Final[tuple[Feature, ...]] = (
    # Amount against the card's own history
    Feature("amount", "transaction", "", "major units", "what is to be paid", "AMOUNT"),
    Feature("amount_to_mean", "card", "ever", "ratio", "amount over the card's mean amount", "AMOUNT_UNUSUAL"),
    Feature("amount_zscore", "card", "ever", "standard deviations", "amount against the card's mean and spread", "AMOUNT_UNUSUAL"),
    Feature("amount_to_max", "card", "ever", "ratio", "amount over the card's largest so far", "AMOUNT_UNUSUAL"),
    Feature("amount_is_round", "transaction", "", "0 or 1", "a whole number of major units", "AMOUNT_ROUND"),
    # Velocity
    Feature("count_1h", "card", "1 h", "transactions", "how many in the last hour", "VELOCITY"),
    Feature("amount_1h", "card", "1 h", "major units", "value in the last hour", "VELOCITY"),
    Feature("count_24h", "card", "24 h", "transactions", "how many in the last day", "VELOCITY"),
    Feature("amount_24h", "card", "24 h", "major units", "value in the last day", "VELOCITY"),
    Feature("count_7d", "card", "7 d", "transactions", "how many in the last week", "VELOCITY"),
    Feature("amount_7d", "card", "7 d", "major units", "value in the last week", "VELOCITY"),
    Feature("count_24h_to_7d", "card", "24 h, 7 d", "ratio", "share of the last week's transactions in the last day", "VELOCITY"),
    Feature("ecommerce_count_24h", "card", "24 h", "transactions", "how many online in the last day", "VELOCITY"),
    Feature("small_count_1h", "card", "1 h", "transactions", "how many under 3.00 in the last hour", "CARD_TESTING"),
    Feature("declined_count_24h", "card", "24 h", "transactions", "how many declined attempts in the last day", "EARLIER_DECLINES"),
    # Time
    Feature("seconds_since_last", "card", "", "seconds", "time since the card's latest transaction", "TIME"),
    Feature("hour_of_day", "transaction", "", "hours, UTC", "hour of the day", "TIME"),
    Feature("weekday", "transaction", "", "0 = Monday", "day of the week", "TIME"),
    Feature("hour_habit", "card", "ever", "share", "the card's share of transactions within an hour of this time of day", "TIME_UNUSUAL"),
    # Place
    Feature("distance_from_last_km", "card", "", "km", "from the card's last known place", "PLACE"),
    Feature("speed_from_last_kmh", "card", "", "km/h", "speed needed from the card's last known place", "PLACE_IMPOSSIBLE"),
    Feature("distance_from_usual_km", "card", "ever", "km", "from the mean of the card's places", "PLACE"),
    # Novelty
    Feature("merchant_is_new", "card, merchant", "32 merchants", "0 or 1", "not among the card's newest 32 merchants", "NEW_MERCHANT"),
    Feature("category_is_new", "card", "ever", "0 or 1", "first time in this category (hashed to 512 bits)", "NEW_CATEGORY"),
    Feature("country_is_new", "card", "ever", "0 or 1", "first time in this country", "NEW_COUNTRY"),
    Feature("device_is_new", "card", "8 devices", "0 or 1", "not among the card's newest 8 devices", "NEW_DEVICE"),
    # Earlier outcome
    Feature("previous_declined", "card", "", "0 or 1", "the card's previous attempt was declined", "EARLIER_DECLINES"),
    # Channel and category
    Feature("is_chip", "transaction", "", "0 or 1", "chip and PIN", "CHANNEL"),
    Feature("is_contactless", "transaction", "", "0 or 1", "contactless", "CHANNEL"),
    Feature("is_swipe", "transaction", "", "0 or 1", "magnetic stripe", "CHANNEL"),
    Feature("is_ecommerce", "transaction", "", "0 or 1", "online", "CHANNEL"),
    Feature("is_atm", "transaction", "", "0 or 1", "cash machine", "CHANNEL"),
    Feature("is_recurring", "transaction", "", "0 or 1", "standing authority", "CHANNEL"),
    Feature("channel_habit", "card", "ever", "share", "the card's share of transactions in this channel", "CHANNEL_UNUSUAL"),
    Feature("merchant_category", "merchant", "", "ISO 18245 code", "what the merchant sells", "CATEGORY"),
    Feature("history_length", "card", "ever", "transactions, at most 50", "how much history the other features rest on", "HISTORY"),
    # Reference table
    Feature("merchant_risk_30d", "merchant", "30 d", "ratio", "known fraud rate over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_count_1d", "merchant", "1 d", "transactions", "merchant's transactions yesterday", "MERCHANT_ACTIVITY"),
    Feature("merchant_count_7d", "merchant", "7 d", "transactions a day", "merchant's mean over the last week", "MERCHANT_ACTIVITY"),
    Feature("merchant_count_30d", "merchant", "30 d", "transactions a day", "merchant's mean over the last 30 days", "MERCHANT_ACTIVITY"),
)  # fmt: skip

FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)
REASONS: Final[tuple[str, ...]] = tuple(feature.reason for feature in FEATURES)

SCHEMA_HASH: Final = hashlib.sha256(msgspec.json.encode((KERNEL_VERSION, FEATURES))).hexdigest()[:32]
"""Changes whenever the meaning, order or number of features changes. Models and rows carry it."""


def column(name: str) -> int:
    """The position of a feature in the row; raises `ValueError` for a name that is not in the table."""
    return FEATURE_NAMES.index(name)
