"""Policies of the promotion gate for tests with few rows."""

import msgspec
from msgspec.structs import asdict, replace

from cardwatch.promotion.policy import PromotionPolicy

ANY_CHALLENGER_WINS = PromotionPolicy(
    minimum_rows=1,
    minimum_frauds=1,
    minimum_days=1,
    minimum_average_precision=0.0,
    maximum_average_precision=1.0,
    calibration_factor=1e9,
    minimum_gain=-1e9,
    minimum_differing_cards=0,
    minimum_gain_over_baselines=-1e9,
    slice_margin=1e9,
    minimum_alert_precision=0.0,
    maximum_latency_ratio=1e9,
)
NO_CHALLENGER_WINS = replace(ANY_CHALLENGER_WINS, minimum_gain=1e9)
"""A first champion passes."""


def policy_toml(promotion: PromotionPolicy) -> bytes:
    """The content of a policy file with this gate. TOML has no null: a key without a value is left out."""
    return msgspec.toml.encode(
        {"promotion": {key: value for key, value in asdict(promotion).items() if value is not None}}
    )
