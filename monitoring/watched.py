"""Which columns are watched for drift: every feature, save those that move in a world that stands still."""

from __future__ import annotations

from typing import Final

from cardwatch.features.table import FEATURE_NAMES

MARGIN: Final = "margin"
"""The model's raw score, watched like a feature: it moves when any mixture of features moves that the model heeds."""

NOT_WATCHED: Final[dict[str, str]] = {
    "distance_from_usual_km": "the mean of a card's places settles as its history grows",
    "amount_to_max": "falls as a card's history grows, because its largest amount can only rise",
    "category_is_new": "falls as a card's history grows",
    "country_is_new": "falls as a card's history grows",
    "device_is_new": "falls as a card's history grows",
    "merchant_is_new": "falls as a card's history grows, until 32 merchants are known",
    "history_length": "grows by construction",
    "weekday": "the calendar: a window of days that are not whole weeks differs from every other",
    "merchant_risk_30d": "follows the labels that happen to have come in",
    "merchant_category": "a code: its distance between two values means nothing",
    "speed_from_last_kmh": "a handful of impossible speeds outweighs all the others",
    "merchant_count_30d": "grows for the first 30 days of a log, and says later what merchant_count_7d says at once",
}
"""Features that are left out, and why."""

WATCHED: Final[tuple[str, ...]] = (*(name for name in FEATURE_NAMES if name not in NOT_WATCHED), MARGIN)
