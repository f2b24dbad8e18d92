"""No false reason code is ever given, whatever the row and whatever raised its score.

Each code is defined here once more, in plain Python with numbers by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cardwatch.detector.detector import strongest_reasons
from cardwatch.features.definitions import FEATURE_NAMES, FEATURES, REASONS
from cardwatch.features.reason_codes import true_codes

NEUTRAL: Final = "COMBINATION"
SUPPORTING: Final = {"AMOUNT", "TIME", "CHANNEL", "CATEGORY"}


def far_from_mean(ratio: np.float32) -> bool:
    return bool(ratio >= 3.0 or ratio <= 0.1)


DEFINITIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "AMOUNT": lambda row: row.amount >= 0,
    "AMOUNT_UNUSUAL": lambda row: (
        (
            row.history_length >= 5
            and (
                far_from_mean(row.amount_to_mean)
                or far_from_mean(row.amount_to_mean_30d)
                or row.amount_zscore >= 3
                or row.amount_to_max >= 1.5
            )
        )
        or (row.merchant_count_30d >= 0.5 and far_from_mean(row.amount_to_merchant_mean))
    ),
    "AMOUNT_ROUND": lambda row: row.amount_zeros >= 2,
    "VELOCITY": lambda row: (
        row.count_1h >= 3
        or row.count_24h >= 8
        or (
            row.count_24h >= 3
            and (
                (row.count_24h_to_7d >= 0.5 and row.history_days >= 7)
                or (row.amount_24h_to_30d >= 0.5 and row.history_days >= 30)
            )
        )
    ),
    "VELOCITY_REMOTE": lambda row: row.remote_count_24h >= 3,
    "VELOCITY_CASH": lambda row: row.cash_count_24h >= 2 or (row.cash_count_24h >= 1 and row.is_atm >= 1),
    "VELOCITY_PRESENT": lambda row: row.present_count_24h >= 6,
    "CARD_TESTING": lambda row: 0.001 <= row.seconds_since_small <= 24 * 3_600,
    "EARLIER_DECLINES": lambda row: row.previous_declined >= 1 or 0.001 <= row.seconds_since_declined <= 7 * 24 * 3_600,
    "TIME": lambda row: row.hour_of_day >= 0,
    "TIME_UNUSUAL": lambda row: (
        row.history_length >= 20 and (row.hour_habit <= 0.05 or row.weekday_habit <= 0.05 or row.gap_to_mean >= 5)
    ),
    "PLACE": lambda row: row.distance_from_last_km >= 100 or row.distance_from_usual_km >= 100,
    "PLACE_IMPOSSIBLE": lambda row: row.speed_from_last_kmh >= 900 and row.distance_from_last_km >= 100,
    "NEW_MERCHANT": lambda row: row.merchant_is_new >= 1 or row.new_merchant_count_24h >= 3,
    "NEW_CATEGORY": lambda row: row.category_is_new >= 1,
    "NEW_COUNTRY": lambda row: row.country_is_new >= 1,
    "NEW_DEVICE": lambda row: row.device_is_new >= 1,
    "CHANNEL": lambda row: row.is_chip >= 0,
    "CHANNEL_UNUSUAL": lambda row: row.history_length >= 20 and row.channel_habit <= 0.05,
    "CATEGORY": lambda row: row.merchant_category >= 0,
    "HISTORY": lambda row: row.history_length <= 19 or row.history_days <= 7,
    "MERCHANT_RISK": lambda row: row.merchant_days_since_fraud >= 0,
    "MERCHANT_ACTIVITY": lambda row: (
        row.merchant_count_30d <= 1 or (row.merchant_count_1d >= 9 and row.merchant_count_30d <= 3)
    ),
    "EXPOSURE": lambda row: row.exposure >= 3,
    "SHARED_DEVICE": lambda row: row.device_cards >= 2,
    "DEVICE_RISK": lambda row: row.device_frauds >= 1,
    "DEVICE_AGE": lambda row: row.device_age <= 7,
}

LIMITS: Final = [0.0, 0.001, 0.05, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0, 9.0, 19.0, 20.0, 30.0, 100.0]
LARGE_LIMITS: Final = [900.0, 86_400.0, 604_800.0]
VALUES: Final = st.one_of(
    st.just(np.nan), st.sampled_from(LIMITS), st.sampled_from(LARGE_LIMITS), st.floats(width=32, allow_nan=True)
)
CONTRIBUTIONS: Final = st.one_of(st.just(0.0), st.floats(-3.0, 3.0))


@st.composite
def rows_and_contributions(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Rows whose values are missing, at a limit or arbitrary, and contributions of which some are zero or negative."""
    shape = draw(st.integers(1, 3)), len(FEATURES)
    return (
        draw(arrays(np.float32, shape, elements=VALUES.map(np.float32), fill=VALUES.map(np.float32))),
        draw(arrays(np.float64, shape, elements=CONTRIBUTIONS, fill=CONTRIBUTIONS)),
    )


def true_by_definition(row: NDArray[np.float32]) -> set[str]:
    values = SimpleNamespace(**dict(zip(FEATURE_NAMES, row, strict=True)))
    return {code for code, is_true in DEFINITIONS.items() if is_true(values)}


@given(rows_and_contributions())
def test_codes_are_true_by_definition(drawn: tuple[NDArray[np.float32], NDArray[np.float64]]) -> None:
    rows, _ = drawn
    assert true_codes(rows) == [true_by_definition(row) for row in rows]


@given(rows_and_contributions(), st.integers(1, 5))
def test_only_true_codes_are_given_and_never_none_or_supporting_ones_alone(
    drawn: tuple[NDArray[np.float32], NDArray[np.float64]], limit: int
) -> None:
    rows, contributions = drawn
    for row, of_row, codes in zip(rows, contributions, strongest_reasons(rows, contributions, limit), strict=True):
        strength: dict[str, float] = {}
        for code, contribution in zip(REASONS, of_row.tolist(), strict=True):
            if contribution > 0.0:
                strength[code] = max(strength.get(code, 0.0), contribution)
        candidates = strength.keys() & true_by_definition(row)
        assert set(codes) <= candidates | {NEUTRAL}
        assert 1 <= len(codes) == len(set(codes)) <= limit
        assert not set(codes) <= SUPPORTING
        assert (NEUTRAL in codes) == (candidates <= SUPPORTING)
        strengths = [strength[code] for code in codes if code != NEUTRAL]
        assert strengths == sorted(strengths, reverse=True)
        if NEUTRAL not in codes:
            assert len(codes) == min(limit, len(candidates))
