"""The feature table: every feature that the kernel computes, in the order of a feature row.

`kernel.py` computes exactly these features. A window is ten tiles, the current partial one and the nine full ones before
it, so "1 h" means between 54 and 60 minutes. Features use the card's history *before* the transaction; a value that
cannot be known (no history, no location) is missing (NaN), not zero. Remote means ecommerce or recurring, cash means
atm, present means the rest.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

KERNEL_VERSION: Final = 2
"""Version of the computation. Increase it when a feature's meaning changes but its entry below does not."""


class Feature(Struct, frozen=True):
    """One column of a feature row. `reason` is the code that a decision gives when the feature raises the risk."""

    name: str
    family: str
    entity: str
    window: str
    unit: str
    meaning: str
    reason: str


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("amount", "amount", "transaction", "", "major units", "what is to be paid", "AMOUNT"),
    Feature("amount_to_mean", "amount", "card", "ever", "ratio", "amount over the card's mean", "AMOUNT_UNUSUAL"),
    Feature("amount_to_mean_30d", "amount", "card", "30 d", "ratio", "amount over the card's mean of the last month", "AMOUNT_UNUSUAL"),
    Feature("amount_zscore", "amount", "card", "ever", "standard deviations", "amount against the card's mean and spread", "AMOUNT_UNUSUAL"),
    Feature("amount_to_max", "amount", "card", "ever", "ratio", "amount over the card's largest so far", "AMOUNT_UNUSUAL"),
    Feature("amount_is_whole", "amount", "transaction", "", "0 or 1", "a whole number of major units", "AMOUNT_ROUND"),
    Feature("amount_zeros", "amount", "transaction", "", "digits", "how many zeros the amount in minor units ends with", "AMOUNT_ROUND"),

    Feature("count_10m", "velocity", "card", "10 min", "transactions", "how many in the last ten minutes", "VELOCITY"),
    Feature("amount_10m", "velocity", "card", "10 min", "major units", "value of the last ten minutes", "VELOCITY"),
    Feature("count_1h", "velocity", "card", "1 h", "transactions", "how many in the last hour", "VELOCITY"),
    Feature("amount_1h", "velocity", "card", "1 h", "major units", "value of the last hour", "VELOCITY"),
    Feature("count_24h", "velocity", "card", "24 h", "transactions", "how many in the last day", "VELOCITY"),
    Feature("amount_24h", "velocity", "card", "24 h", "major units", "value of the last day", "VELOCITY"),
    Feature("count_7d", "velocity", "card", "7 d", "transactions", "how many in the last week", "VELOCITY"),
    Feature("amount_7d", "velocity", "card", "7 d", "major units", "value of the last week", "VELOCITY"),
    Feature("count_30d", "velocity", "card", "30 d", "transactions", "how many in the last month", "VELOCITY"),
    Feature("amount_30d", "velocity", "card", "30 d", "major units", "value of the last month", "VELOCITY"),
    Feature("count_24h_to_7d", "velocity", "card", "24 h, 7 d", "share", "the last day's share of the last week's transactions", "VELOCITY"),
    Feature("amount_24h_to_30d", "velocity", "card", "24 h, 30 d", "share", "the last day's share of the last month's value", "VELOCITY"),

    Feature("remote_count_1h", "channel velocity", "card", "1 h", "transactions", "how many remote in the last hour", "VELOCITY_REMOTE"),
    Feature("remote_count_24h", "channel velocity", "card", "24 h", "transactions", "how many remote in the last day", "VELOCITY_REMOTE"),
    Feature("remote_amount_24h", "channel velocity", "card", "24 h", "major units", "remote value of the last day", "VELOCITY_REMOTE"),
    Feature("cash_count_24h", "channel velocity", "card", "24 h", "transactions", "how many at cash machines in the last day", "VELOCITY_CASH"),
    Feature("cash_amount_24h", "channel velocity", "card", "24 h", "major units", "cash drawn in the last day", "VELOCITY_CASH"),
    Feature("present_count_24h", "channel velocity", "card", "24 h", "transactions", "how many in shops in the last day", "VELOCITY_PRESENT"),
    Feature("present_amount_24h", "channel velocity", "card", "24 h", "major units", "value paid in shops in the last day", "VELOCITY_PRESENT"),

    Feature("small_count_1h", "small then large", "card", "1 h", "transactions", "how many under 3.00 in the last hour", "CARD_TESTING"),
    Feature("seconds_since_small", "small then large", "card", "ever", "seconds", "time since the card's latest under 3.00", "CARD_TESTING"),
    Feature("amount_to_previous", "small then large", "card", "", "ratio", "amount over the card's previous one", "CARD_TESTING"),

    Feature("previous_declined", "earlier outcomes", "card", "", "0 or 1", "the card's previous attempt was declined", "EARLIER_DECLINES"),
    Feature("declined_count_24h", "earlier outcomes", "card", "24 h", "transactions", "how many came after a declined attempt in the last day", "EARLIER_DECLINES"),
    Feature("seconds_since_declined", "earlier outcomes", "card", "ever", "seconds", "time since the latest that came after a declined attempt", "EARLIER_DECLINES"),

    Feature("seconds_since_last", "time", "card", "", "seconds", "time since the card's latest transaction; 0 for a late one", "TIME"),
    Feature("gap_to_mean", "time", "card", "ever", "ratio", "time since the latest transaction over the card's mean gap", "TIME_UNUSUAL"),
    Feature("hour_of_day", "time", "transaction", "", "hours, UTC", "hour of the day", "TIME"),
    Feature("weekday", "time", "transaction", "", "0 = Monday", "day of the week, UTC", "TIME"),
    Feature("hour_habit", "time", "card", "ever", "share", "of the card's transactions, within an hour of this time of day", "TIME_UNUSUAL"),
    Feature("weekday_habit", "time", "card", "ever", "share", "of the card's transactions, on this day of the week", "TIME_UNUSUAL"),

    Feature("distance_from_last_km", "place", "card", "", "km", "from the card's last known place", "PLACE"),
    Feature("speed_from_last_kmh", "place", "card", "", "km/h", "speed needed between here and the card's last known place", "PLACE_IMPOSSIBLE"),
    Feature("distance_from_usual_km", "place", "card", "ever", "km", "from the mean of the card's places", "PLACE"),

    Feature("merchant_is_new", "novelty", "card, merchant", "32 merchants", "0 or 1", "not among the 32 merchants used last", "NEW_MERCHANT"),
    Feature("days_since_merchant", "novelty", "card, merchant", "32 merchants", "days", "since the card was last used here; missing if new", "NEW_MERCHANT"),
    Feature("new_merchant_count_24h", "novelty", "card", "24 h", "transactions", "how many at merchants new to the card in the last day", "NEW_MERCHANT"),
    Feature("category_is_new", "novelty", "card, category", "16 categories", "0 or 1", "not among the 16 categories used last", "NEW_CATEGORY"),
    Feature("days_since_category", "novelty", "card, category", "16 categories", "days", "since the card's last in this category; missing if new", "NEW_CATEGORY"),
    Feature("country_is_new", "novelty", "card, country", "12 countries", "0 or 1", "not among the 12 countries used last", "NEW_COUNTRY"),
    Feature("days_since_country", "novelty", "card, country", "12 countries", "days", "since the card's last in this country; missing if new", "NEW_COUNTRY"),
    Feature("device_is_new", "novelty", "card, device", "8 devices", "0 or 1", "not among the 8 devices used last", "NEW_DEVICE"),
    Feature("days_since_device", "novelty", "card, device", "8 devices", "days", "since the device was last used; missing if new", "NEW_DEVICE"),

    Feature("is_chip", "segment", "transaction", "", "0 or 1", "chip and PIN", "CHANNEL"),
    Feature("is_contactless", "segment", "transaction", "", "0 or 1", "contactless", "CHANNEL"),
    Feature("is_swipe", "segment", "transaction", "", "0 or 1", "magnetic stripe", "CHANNEL"),
    Feature("is_ecommerce", "segment", "transaction", "", "0 or 1", "online", "CHANNEL"),
    Feature("is_atm", "segment", "transaction", "", "0 or 1", "cash machine", "CHANNEL"),
    Feature("is_recurring", "segment", "transaction", "", "0 or 1", "standing authority", "CHANNEL"),
    Feature("channel_habit", "segment", "card", "ever", "share", "of the card's transactions, in this channel", "CHANNEL_UNUSUAL"),
    Feature("merchant_category", "segment", "merchant", "", "ISO 18245 code", "what the merchant sells", "CATEGORY"),
    Feature("history_length", "segment", "card", "ever", "transactions, at most 50", "how much history the other features rest on", "HISTORY"),
    Feature("history_days", "segment", "card", "ever", "days, at most 30", "how long the card has been known", "HISTORY"),

    Feature("merchant_risk_1d", "merchant", "merchant", "1 d", "ratio", "fraud that became known yesterday, over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_risk_7d", "merchant", "merchant", "7 d", "ratio", "fraud that became known last week, over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_risk_30d", "merchant", "merchant", "30 d", "ratio", "fraud that became known in 30 days, over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_count_1d", "merchant", "merchant", "1 d", "transactions", "merchant's transactions yesterday", "MERCHANT_ACTIVITY"),
    Feature("merchant_count_7d", "merchant", "merchant", "7 d", "transactions a day", "merchant's mean over the last week", "MERCHANT_ACTIVITY"),
    Feature("merchant_count_30d", "merchant", "merchant", "30 d", "transactions a day", "merchant's mean over the last 30 days", "MERCHANT_ACTIVITY"),
    Feature("amount_to_merchant_mean", "merchant", "merchant", "30 d", "ratio", "amount over the merchant's mean of the last 30 days", "AMOUNT_UNUSUAL"),
)  # fmt: skip

FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)
FAMILIES: Final[tuple[str, ...]] = tuple(dict.fromkeys(feature.family for feature in FEATURES))
REASONS: Final[tuple[str, ...]] = tuple(feature.reason for feature in FEATURES)

SCHEMA_HASH: Final = hashlib.sha256(msgspec.json.encode((KERNEL_VERSION, FEATURES))).hexdigest()[:32]
"""Hash of the feature schema, stored with models and decisions. It changes with the meaning, order or number of features."""


def column(name: str) -> int:
    """Return the index of a feature in the feature row; raises `ValueError` for an unknown name.

    >>> column("amount"), FEATURES[column("count_1h")].unit
    (0, 'transactions')
    """
    return FEATURE_NAMES.index(name)
