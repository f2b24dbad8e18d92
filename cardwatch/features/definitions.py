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

KERNEL_VERSION: Final = 3
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
    Feature("amount", "amount", "transaction", "", "major units", "amount of the transaction", "AMOUNT"),
    Feature("amount_to_mean", "amount", "card", "ever", "ratio", "amount over the card's mean amount", "AMOUNT_UNUSUAL"),
    Feature("amount_to_mean_30d", "amount", "card", "30 d", "ratio", "amount over the card's mean amount of the last month", "AMOUNT_UNUSUAL"),
    Feature("amount_zscore", "amount", "card", "ever", "standard deviations", "amount minus the card's mean amount, in the card's standard deviations", "AMOUNT_UNUSUAL"),
    Feature("amount_to_max", "amount", "card", "ever", "ratio", "amount over the card's largest amount so far", "AMOUNT_UNUSUAL"),
    Feature("amount_is_whole", "amount", "transaction", "", "0 or 1", "whether the amount is a whole number of major units", "AMOUNT_ROUND"),
    Feature("amount_zeros", "amount", "transaction", "", "digits", "zeros at the end of the amount in minor units", "AMOUNT_ROUND"),

    Feature("count_10m", "velocity", "card", "10 min", "transactions", "transactions of the card in the last ten minutes", "VELOCITY"),
    Feature("amount_10m", "velocity", "card", "10 min", "major units", "sum of the card's amounts in the last ten minutes", "VELOCITY"),
    Feature("count_1h", "velocity", "card", "1 h", "transactions", "transactions of the card in the last hour", "VELOCITY"),
    Feature("amount_1h", "velocity", "card", "1 h", "major units", "sum of the card's amounts in the last hour", "VELOCITY"),
    Feature("count_24h", "velocity", "card", "24 h", "transactions", "transactions of the card in the last day", "VELOCITY"),
    Feature("amount_24h", "velocity", "card", "24 h", "major units", "sum of the card's amounts in the last day", "VELOCITY"),
    Feature("count_7d", "velocity", "card", "7 d", "transactions", "transactions of the card in the last week", "VELOCITY"),
    Feature("amount_7d", "velocity", "card", "7 d", "major units", "sum of the card's amounts in the last week", "VELOCITY"),
    Feature("count_30d", "velocity", "card", "30 d", "transactions", "transactions of the card in the last month", "VELOCITY"),
    Feature("amount_30d", "velocity", "card", "30 d", "major units", "sum of the card's amounts in the last month", "VELOCITY"),
    Feature("count_24h_to_7d", "velocity", "card", "24 h, 7 d", "share", "share of the last day in the transactions of the last week", "VELOCITY"),
    Feature("amount_24h_to_30d", "velocity", "card", "24 h, 30 d", "share", "share of the last day in the sum of the last month", "VELOCITY"),

    Feature("remote_count_1h", "channel velocity", "card", "1 h", "transactions", "remote transactions in the last hour", "VELOCITY_REMOTE"),
    Feature("remote_count_24h", "channel velocity", "card", "24 h", "transactions", "remote transactions in the last day", "VELOCITY_REMOTE"),
    Feature("remote_amount_24h", "channel velocity", "card", "24 h", "major units", "sum of the remote amounts in the last day", "VELOCITY_REMOTE"),
    Feature("cash_count_24h", "channel velocity", "card", "24 h", "transactions", "cash withdrawals in the last day", "VELOCITY_CASH"),
    Feature("cash_amount_24h", "channel velocity", "card", "24 h", "major units", "sum of the cash withdrawn in the last day", "VELOCITY_CASH"),
    Feature("present_count_24h", "channel velocity", "card", "24 h", "transactions", "transactions in shops in the last day", "VELOCITY_PRESENT"),
    Feature("present_amount_24h", "channel velocity", "card", "24 h", "major units", "sum of the amounts in shops in the last day", "VELOCITY_PRESENT"),

    Feature("small_count_1h", "small then large", "card", "1 h", "transactions", "transactions under 3.00 in the last hour", "CARD_TESTING"),
    Feature("seconds_since_small", "small then large", "card", "ever", "seconds", "since the card's latest transaction under 3.00", "CARD_TESTING"),
    Feature("amount_to_previous", "small then large", "card", "", "ratio", "amount over the card's previous amount", "CARD_TESTING"),

    Feature("previous_declined", "earlier outcomes", "card", "", "0 or 1", "whether the card's previous attempt was declined", "EARLIER_DECLINES"),
    Feature("declined_count_24h", "earlier outcomes", "card", "24 h", "transactions", "transactions in the last day that followed a declined attempt", "EARLIER_DECLINES"),
    Feature("seconds_since_declined", "earlier outcomes", "card", "ever", "seconds", "since the card's latest transaction that followed a declined attempt", "EARLIER_DECLINES"),

    Feature("seconds_since_last", "time", "card", "", "seconds", "since the card's latest transaction; 0 for a late one", "TIME"),
    Feature("gap_to_mean", "time", "card", "ever", "ratio", "time since the card's latest transaction over its mean gap", "TIME_UNUSUAL"),
    Feature("hour_of_day", "time", "transaction", "", "hours, UTC", "hour of the day", "TIME"),
    Feature("weekday", "time", "transaction", "", "0 = Monday", "day of the week, UTC", "TIME"),
    Feature("hour_habit", "time", "card", "ever", "share", "share of the card's transactions within an hour of this time of day", "TIME_UNUSUAL"),
    Feature("weekday_habit", "time", "card", "ever", "share", "share of the card's transactions on this day of the week", "TIME_UNUSUAL"),

    Feature("distance_from_last_km", "place", "card", "", "km", "distance from the card's last known place", "PLACE"),
    Feature("speed_from_last_kmh", "place", "card", "", "km/h", "speed needed to come here from the card's last known place", "PLACE_IMPOSSIBLE"),
    Feature("distance_from_usual_km", "place", "card", "ever", "km", "distance from the mean of the card's places", "PLACE"),

    Feature("merchant_is_new", "novelty", "card, merchant", "32 merchants", "0 or 1", "whether the merchant is not among the 32 that the card used last", "NEW_MERCHANT"),
    Feature("days_since_merchant", "novelty", "card, merchant", "32 merchants", "days", "since the card was last used at the merchant; missing if it is new", "NEW_MERCHANT"),
    Feature("new_merchant_count_24h", "novelty", "card", "24 h", "transactions", "transactions in the last day at merchants that were new to the card", "NEW_MERCHANT"),
    Feature("category_is_new", "novelty", "card, category", "16 categories", "0 or 1", "whether the category is not among the 16 that the card used last", "NEW_CATEGORY"),
    Feature("days_since_category", "novelty", "card, category", "16 categories", "days", "since the card was last used in the category; missing if it is new", "NEW_CATEGORY"),
    Feature("country_is_new", "novelty", "card, country", "12 countries", "0 or 1", "whether the country is not among the 12 that the card used last", "NEW_COUNTRY"),
    Feature("days_since_country", "novelty", "card, country", "12 countries", "days", "since the card was last used in the country; missing if it is new", "NEW_COUNTRY"),
    Feature("device_is_new", "novelty", "card, device", "8 devices", "0 or 1", "whether the device is not among the 8 that the card used last", "NEW_DEVICE"),
    Feature("days_since_device", "novelty", "card, device", "8 devices", "days", "since the device was last used with the card; missing if it is new", "NEW_DEVICE"),

    Feature("is_chip", "segment", "transaction", "", "0 or 1", "whether the channel is chip and PIN", "CHANNEL"),
    Feature("is_contactless", "segment", "transaction", "", "0 or 1", "whether the channel is contactless", "CHANNEL"),
    Feature("is_swipe", "segment", "transaction", "", "0 or 1", "whether the channel is the magnetic stripe", "CHANNEL"),
    Feature("is_ecommerce", "segment", "transaction", "", "0 or 1", "whether the channel is a purchase online", "CHANNEL"),
    Feature("is_atm", "segment", "transaction", "", "0 or 1", "whether the channel is a cash machine", "CHANNEL"),
    Feature("is_recurring", "segment", "transaction", "", "0 or 1", "whether the channel is a recurring payment", "CHANNEL"),
    Feature("channel_habit", "segment", "card", "ever", "share", "share of the card's transactions in this channel", "CHANNEL_UNUSUAL"),
    Feature("merchant_category", "segment", "merchant", "", "ISO 18245 code", "category of the merchant", "CATEGORY"),
    Feature("history_length", "segment", "card", "ever", "transactions", "transactions of the card before this one, at most 50", "HISTORY"),
    Feature("history_days", "segment", "card", "ever", "days", "days since the card's first transaction, at most 30", "HISTORY"),

    Feature("merchant_risk_recent", "merchant", "merchant", "newest days", "ratio", "known fraud of the days whose labels are not complete yet, over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_risk_7d", "merchant", "merchant", "7 d", "ratio", "fraud of the 7 days before those, over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_risk_30d", "merchant", "merchant", "30 d", "ratio", "fraud of the 30 days before those, over the base rate, shrunk toward 1", "MERCHANT_RISK"),
    Feature("merchant_days_since_fraud", "merchant", "merchant", "35 d", "days", "from the newest known fraud at the merchant to the start of the day; missing without one", "MERCHANT_RISK"),
    Feature("merchant_fraud_run", "merchant", "merchant", "35 d", "transactions", "known frauds of the newest unbroken run of days with fraud", "MERCHANT_RISK"),
    Feature("merchant_fraud_run_days", "merchant", "merchant", "35 d", "days", "since that run began; 0 without one", "MERCHANT_RISK"),
    Feature("merchant_fraud_run_local", "merchant", "merchant", "35 d", "transactions", "known frauds of that run with cards that have no known fraud at another merchant", "MERCHANT_RISK"),
    Feature("merchant_fraud_cards", "merchant", "merchant", "35 d", "cards", "cards with known fraud at the merchant", "MERCHANT_RISK"),
    Feature("merchant_count_1d", "merchant", "merchant", "1 d", "transactions", "transactions of the merchant yesterday", "MERCHANT_ACTIVITY"),
    Feature("merchant_count_7d", "merchant", "merchant", "7 d", "transactions a day", "daily mean of the merchant's transactions over the last week", "MERCHANT_ACTIVITY"),
    Feature("merchant_count_30d", "merchant", "merchant", "30 d", "transactions a day", "daily mean of the merchant's transactions over the last 30 days", "MERCHANT_ACTIVITY"),
    Feature("amount_to_merchant_mean", "merchant", "merchant", "30 d", "ratio", "amount over the merchant's mean amount of the last 30 days", "AMOUNT_UNUSUAL"),

    Feature("exposure", "exposure", "card, merchants", "32 merchants", "ratio", "greatest compromise of the merchants used last: their cards with later fraud elsewhere, over the expected", "EXPOSURE"),
    Feature("exposed_merchants", "exposure", "card, merchants", "32 merchants", "merchants", "how many of the merchants used last are compromised", "EXPOSURE"),
    Feature("days_since_exposure", "exposure", "card, merchants", "32 merchants", "days", "since the card was used at the most compromised of them; missing without one", "EXPOSURE"),

    Feature("device_cards", "device", "device", "35 d", "cards", "cards that used the device before today", "SHARED_DEVICE"),
    Feature("device_frauds", "device", "device", "35 d", "transactions", "known frauds with the device", "DEVICE_RISK"),
    Feature("device_count_1d", "device", "device", "1 d", "transactions", "the device's transactions yesterday", "SHARED_DEVICE"),
    Feature("device_cards_1d", "device", "device", "1 d", "cards", "cards that used the device yesterday", "SHARED_DEVICE"),
    Feature("device_age", "device", "device", "35 d", "days", "since the device's first use by any card; 0 for one that is new today", "DEVICE_AGE"),
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
