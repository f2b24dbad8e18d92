"""Columns that are monitored for drift and for missing values: all features except those that change by themselves."""

from __future__ import annotations

from typing import Final

from cardwatch.features.definitions import FEATURE_NAMES

MARGIN: Final = "margin"
"""Column of the model's margins. It is monitored like a feature, because it reacts to joint changes of features."""

_LABELS = "depends on which labels have arrived"
_GROWS = "changes as a card's history grows"
_FILLS = "grows for the first 30 days of a log"

NOT_WATCHED: Final[dict[str, str]] = {
    "distance_from_usual_km": "the mean of a card's locations converges as its history grows",
    "gap_to_mean": "the mean of a card's gaps converges as its history grows",
    "amount_to_max": "falls as a card's history grows, because its largest amount can only rise",
    "seconds_since_small": _GROWS,
    "seconds_since_declined": _GROWS,
    "merchant_is_new": _GROWS,
    "days_since_merchant": _GROWS,
    "new_merchant_count_24h": _GROWS,
    "category_is_new": _GROWS,
    "days_since_category": _GROWS,
    "country_is_new": _GROWS,
    "days_since_country": _GROWS,
    "device_is_new": _GROWS,
    "days_since_device": _GROWS,
    "history_length": "grows by construction",
    "history_days": "grows by construction",
    "count_30d": _FILLS,
    "amount_30d": _FILLS,
    "amount_24h_to_30d": "falls for the first 30 days of a log",
    "merchant_count_30d": f"{_FILLS}, and reacts later than merchant_count_7d",
    "weekday": "calendar: windows that are not complete weeks differ from each other",
    "merchant_risk_recent": _LABELS,
    "merchant_risk_7d": _LABELS,
    "merchant_risk_30d": _LABELS,
    "merchant_days_since_fraud": _LABELS,
    "merchant_fraud_run": _LABELS,
    "merchant_fraud_run_days": _LABELS,
    "merchant_fraud_run_local": _LABELS,
    "merchant_fraud_cards": _LABELS,
    "exposure": _LABELS,
    "exposed_merchants": _LABELS,
    "days_since_exposure": _LABELS,
    "device_cards": _FILLS,
    "device_frauds": _LABELS,
    "device_age": _FILLS,
    "merchant_category": "a code: the distance of two values has no meaning",
    "speed_from_last_kmh": "a few impossible speeds outweigh all others",
}
"""Features that are not monitored, with the reason."""

WATCHED: Final[tuple[str, ...]] = (*(name for name in FEATURE_NAMES if name not in NOT_WATCHED), MARGIN)

_NULL_IF_NEW = "is missing for what is new to a card, which becomes rarer as its history grows"

NULL_SHARE_NOT_WATCHED: Final[dict[str, str]] = {
    "seconds_since_small": _NULL_IF_NEW,
    "seconds_since_declined": _NULL_IF_NEW,
    "days_since_merchant": _NULL_IF_NEW,
    "days_since_category": _NULL_IF_NEW,
    "days_since_country": _NULL_IF_NEW,
    "days_since_device": _NULL_IF_NEW,
    "merchant_days_since_fraud": _LABELS,
    "days_since_exposure": _LABELS,
}
"""Features whose share of missing values is not monitored, with the reason."""
