"""Which columns are watched for drift: every feature, save those that move in a world that stands still."""

from __future__ import annotations

from typing import Final

from cardwatch.features.definitions import FEATURE_NAMES

MARGIN: Final = "margin"
"""The model's raw score, watched like a feature: it moves when any mixture of features moves that the model heeds."""

_GROWS = "moves as a card's history grows"
_FILLS = "grows for the first 30 days of a log"

NOT_WATCHED: Final[dict[str, str]] = {
    "distance_from_usual_km": "the mean of a card's places settles as its history grows",
    "gap_to_mean": "the mean of a card's gaps settles as its history grows",
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
    "merchant_count_30d": f"{_FILLS}, and says later what merchant_count_7d says at once",
    "weekday": "the calendar: a window of days that are not whole weeks differs from every other",
    "merchant_risk_1d": "follows the labels that happen to have come in",
    "merchant_risk_7d": "follows the labels that happen to have come in",
    "merchant_risk_30d": "follows the labels that happen to have come in",
    "merchant_category": "a code: its distance between two values means nothing",
    "speed_from_last_kmh": "a handful of impossible speeds outweighs all the others",
}
"""Features that are left out, and why."""

WATCHED: Final[tuple[str, ...]] = (*(name for name in FEATURE_NAMES if name not in NOT_WATCHED), MARGIN)
