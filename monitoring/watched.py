"""Columns that are monitored for drift and for missing values, and what is known about them."""

from __future__ import annotations

from typing import Final

from cardwatch.features.definitions import FEATURE_NAMES

MARGIN: Final = "margin"
"""Column of the model's margins. It is monitored like a feature, because it reacts to joint changes of features."""

_LABELS = "depends on which labels have arrived"
_GROWS = "changes as a card's history grows"
_FILLS = "grows for the first 30 days of a log"

WATCHED: Final[tuple[str, ...]] = (*FEATURE_NAMES, MARGIN)
"""All columns in which drift is measured."""

CODES: Final = frozenset({"merchant_category"})
"""Columns whose values are codes: the distance of two values has no meaning."""

DEPENDS_ON_LABELS: Final = frozenset(
    {
        "merchant_risk_recent",
        "merchant_risk_7d",
        "merchant_risk_30d",
        "merchant_days_since_fraud",
        "merchant_fraud_run",
        "merchant_fraud_run_days",
        "merchant_fraud_run_local",
        "merchant_fraud_cards",
        "exposure",
        "exposed_merchants",
        "days_since_exposure",
        "device_frauds",
    }
)
"""Columns that depend on which labels have arrived."""

CHANGES_BY_ITSELF: Final[dict[str, str]] = {
    **dict.fromkeys(sorted(DEPENDS_ON_LABELS), _LABELS),
    "distance_from_usual_km": _GROWS,
    "gap_to_mean": _GROWS,
    "amount_to_max": _GROWS,
    "seconds_since_small": _GROWS,
    "seconds_since_declined": _GROWS,
    "weekday_habit": _GROWS,
    "merchant_is_new": _GROWS,
    "days_since_merchant": _GROWS,
    "new_merchant_count_24h": _GROWS,
    "category_is_new": _GROWS,
    "days_since_category": _GROWS,
    "country_is_new": _GROWS,
    "days_since_country": _GROWS,
    "device_is_new": _GROWS,
    "days_since_device": _GROWS,
    "history_length": _GROWS,
    "history_days": _GROWS,
    "count_30d": _FILLS,
    "amount_30d": _FILLS,
    "amount_24h_to_30d": _FILLS,
    "merchant_count_30d": _FILLS,
    "device_cards": _FILLS,
    "device_age": _FILLS,
}
"""Columns that change although nothing has changed, and why. They are compared if it is known by how much."""

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
