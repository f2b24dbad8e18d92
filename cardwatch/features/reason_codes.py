"""Reason codes: the text of each, for cardholders, analysts and a payment switch, and when it is true of a feature row.

Each feature names its code in `cardwatch.features.definitions`. `cardwatch.detector.detector` gives the codes whose
features raise the score of a row most, and of these only the ones that are true of the row; the rules' codes (RULE_*)
are those of `cardwatch.decision.cost_policy`.

Shares of genuine payments below are those of a simulated world (docs/decisions/0017-true-reasons.md). The limits decide
which codes are given, never the action.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.features.definitions import REASONS
from cardwatch.features.reason_conditions import Alternatives, Conditions, at_least, at_most, is_known
from cardwatch.features.state import CATEGORIES, COUNTRIES, DEVICES, MERCHANTS

HIGH_AMOUNT_RATIO: Final = 3.0
"""An amount is unusual from this multiple of a mean on: about one genuine amount in twenty is."""
LOW_AMOUNT_RATIO: Final = 0.1
"""An amount is unusual up to this share of a mean: amounts are skewed, and a third of the mean is nothing special."""
HIGH_AMOUNT_TO_MAX: Final = 1.5
"""An amount is unusual if it is half as much again as the largest so far. The largest so far itself may recur, as a
rent does."""
HIGH_AMOUNT_ZSCORE: Final = 3.0
"""An amount is unusual from this many standard deviations above the mean on: the usual three sigma."""
PAYMENTS_FOR_MEAN: Final = 5.0
"""Number of a card's payments from which on their mean and maximum say what is usual."""
MERCHANT_PAYMENTS_FOR_MEAN: Final = 0.5
"""Daily mean of a merchant's payments from which on their mean amount says what is usual: 15 payments in 30 days."""
ROUND_AMOUNT_ZEROS: Final = 2.0
"""Zeros at the end of a round amount in minor units: it is a whole number of major units."""
SEVERAL_PAYMENTS_1H: Final = 3.0
"""Earlier payments in an hour that are several. Fewer than one genuine payment in a hundred has them."""
MANY_PAYMENTS_24H: Final = 8.0
"""Earlier payments in a day that are many. Fewer than one genuine payment in ten has them."""
LARGE_SHARE: Final = 0.5
"""Share of a week's payments, or of a month's sum, from which on a day has much of it."""
PAYMENTS_FOR_SHARE: Final = 3.0
"""Number of a day's payments from which on their share is counted: of two payments in a week, one is half already."""
SEVERAL_REMOTE_24H: Final = 3.0
"""Earlier remote payments in a day that are several. Fewer than one genuine payment in ten has them."""
MANY_PRESENT_24H: Final = 6.0
"""Earlier payments in shops in a day that are many. Fewer than one genuine payment in ten has them."""
SEVERAL_NEW_MERCHANTS_24H: Final = 3.0
"""Earlier payments in a day at new merchants that are several. Fewer than one genuine payment in twenty has them."""
LEAST_SECONDS: Final = 0.001
"""Least time after an earlier event. The time is 0 for late transactions, which may have happened before that event."""
DAY_SECONDS: Final = 86_400.0
"""How long a small payment is a reason: who tests a stolen card uses it within a day."""
DECLINE_SECONDS: Final = 7 * DAY_SECONDS
"""How long a declined attempt is a reason: after a week the holder has sorted it out, or a thief has given up."""
PAYMENTS_FOR_HABIT: Final = 20.0
"""Number of payments from which on habits are known. With a share of `RARE_SHARE`, a rare one has occurred once."""
RARE_SHARE: Final = 0.05
"""A habit is rare up to this share of the payments. Of random payments, a weekday has 14 %, three hours have 12.5 %."""
LONG_GAPS: Final = 5.0
"""A pause is long from this multiple of the mean gap on: of random payments, one gap in 150 is, by exp(-5)."""
FAR_KM: Final = 100.0
"""A place is far from this distance on: farther than most people commute or go shopping."""
IMPOSSIBLE_KMH: Final = 900.0
"""A place could hardly be reached at this speed: it is the speed of an airliner, without boarding."""
QUIET_MERCHANT_PAYMENTS: Final = 1.0
"""Daily mean up to which a merchant has few payments."""
BUSY_DAY_PAYMENTS: Final = 9.0
"""Payments of a day from which on a merchant was unusually busy, if its daily mean is at most a third of them."""
SHARING_CARDS: Final = 2.0
"""Cards that have used a device from which on a card other than this one is among them."""
CLEAR_EXPOSURE: Final = 3.0
"""Ratio of a merchant's cards with later fraud elsewhere to the expected ones, from which on it points to a compromise.
From 1.5 on, which features use, 36 % and 60 % of the genuine payments in two worlds of 10,000 cards are exposed."""
YOUNG_DAYS: Final = 7.0
"""Age up to which a card or a device is young."""
MONTH_DAYS: Final = 30.0
"""Age from which on a card's last month is a whole one."""


class ReasonCode(Struct, frozen=True):
    """A code that is true of a row if one of `alternatives` holds. Its text is then literally true of the payment."""

    code: str
    text: str
    alternatives: Alternatives


_HAS_MEAN: Final = at_least("history_length", PAYMENTS_FOR_MEAN)
_HAS_HABITS: Final = at_least("history_length", PAYMENTS_FOR_HABIT)
_MERCHANT_HAS_MEAN: Final = at_least("merchant_count_30d", MERCHANT_PAYMENTS_FOR_MEAN)
_HAS_SHARES: Final = at_least("count_24h", PAYMENTS_FOR_SHARE)

REASON_CODES: Final = (
    ReasonCode("AMOUNT", "the amount itself", ((is_known("amount"),),)),
    ReasonCode(
        "AMOUNT_UNUSUAL",
        "an amount far above or far below what is usual for this card or this merchant",
        (
            (at_least("amount_to_mean", HIGH_AMOUNT_RATIO), _HAS_MEAN),
            (at_most("amount_to_mean", LOW_AMOUNT_RATIO), _HAS_MEAN),
            (at_least("amount_to_mean_30d", HIGH_AMOUNT_RATIO), _HAS_MEAN),
            (at_most("amount_to_mean_30d", LOW_AMOUNT_RATIO), _HAS_MEAN),
            (at_least("amount_zscore", HIGH_AMOUNT_ZSCORE), _HAS_MEAN),
            (at_least("amount_to_max", HIGH_AMOUNT_TO_MAX), _HAS_MEAN),
            (at_least("amount_to_merchant_mean", HIGH_AMOUNT_RATIO), _MERCHANT_HAS_MEAN),
            (at_most("amount_to_merchant_mean", LOW_AMOUNT_RATIO), _MERCHANT_HAS_MEAN),
        ),
    ),
    ReasonCode("AMOUNT_ROUND", "a round amount", ((at_least("amount_zeros", ROUND_AMOUNT_ZEROS),),)),
    ReasonCode(
        "VELOCITY",
        "several payments within an hour, many within a day, or much of a week's or month's use within a day",
        (
            (at_least("count_1h", SEVERAL_PAYMENTS_1H),),
            (at_least("count_24h", MANY_PAYMENTS_24H),),
            (at_least("count_24h_to_7d", LARGE_SHARE), _HAS_SHARES, at_least("history_days", YOUNG_DAYS)),
            (at_least("amount_24h_to_30d", LARGE_SHARE), _HAS_SHARES, at_least("history_days", MONTH_DAYS)),
        ),
    ),
    ReasonCode(
        "VELOCITY_REMOTE",
        "several remote payments, online or recurring, with this card within a day",
        ((at_least("remote_count_24h", SEVERAL_REMOTE_24H),),),
    ),
    ReasonCode(
        "VELOCITY_CASH",
        "repeated cash withdrawals with this card within a day",
        ((at_least("cash_count_24h", 2),), (at_least("cash_count_24h", 1), at_least("is_atm", 1))),
    ),
    ReasonCode(
        "VELOCITY_PRESENT",
        "many payments in shops with this card within a day",
        ((at_least("present_count_24h", MANY_PRESENT_24H),),),
    ),
    ReasonCode(
        "CARD_TESTING",
        "a small payment within the day before, as those who test stolen cards make them",
        ((at_least("seconds_since_small", LEAST_SECONDS), at_most("seconds_since_small", DAY_SECONDS)),),
    ),
    ReasonCode(
        "EARLIER_DECLINES",
        "an earlier attempt with this card was declined",
        (
            (at_least("previous_declined", 1),),
            (at_least("seconds_since_declined", LEAST_SECONDS), at_most("seconds_since_declined", DECLINE_SECONDS)),
        ),
    ),
    ReasonCode("TIME", "the time of the payment, or the time since the one before", ((is_known("hour_of_day"),),)),
    ReasonCode(
        "TIME_UNUSUAL",
        "an hour or weekday at which this card is rarely used, or an unusually long pause before",
        (
            (at_most("hour_habit", RARE_SHARE), _HAS_HABITS),
            (at_most("weekday_habit", RARE_SHARE), _HAS_HABITS),
            (at_least("gap_to_mean", LONG_GAPS), _HAS_HABITS),
        ),
    ),
    ReasonCode(
        "PLACE",
        "a place far from the card's last one, or from the middle of all its places",
        ((at_least("distance_from_last_km", FAR_KM),), (at_least("distance_from_usual_km", FAR_KM),)),
    ),
    ReasonCode(
        "PLACE_IMPOSSIBLE",
        "a place that could hardly be reached from the card's last known place in the time between",
        ((at_least("speed_from_last_kmh", IMPOSSIBLE_KMH), at_least("distance_from_last_km", FAR_KM)),),
    ),
    ReasonCode(
        "NEW_MERCHANT",
        f"a merchant that is not among the {MERCHANTS} that this card used last, or several such within a day",
        ((at_least("merchant_is_new", 1),), (at_least("new_merchant_count_24h", SEVERAL_NEW_MERCHANTS_24H),)),
    ),
    ReasonCode(
        "NEW_CATEGORY",
        f"a kind of merchant that is not among the {CATEGORIES} that this card used last",
        ((at_least("category_is_new", 1),),),
    ),
    ReasonCode(
        "NEW_COUNTRY",
        f"a country that is not among the {COUNTRIES} in which this card was used last",
        ((at_least("country_is_new", 1),),),
    ),
    ReasonCode(
        "NEW_DEVICE",
        f"a device that is not among the {DEVICES} that were used with this card last",
        ((at_least("device_is_new", 1),),),
    ),
    ReasonCode("CHANNEL", "the way in which the card was presented", ((is_known("is_chip"),),)),
    ReasonCode(
        "CHANNEL_UNUSUAL",
        "a way of paying that is rare for this card",
        ((at_most("channel_habit", RARE_SHARE), _HAS_HABITS),),
    ),
    ReasonCode("CATEGORY", "the kind of merchant", ((is_known("merchant_category"),),)),
    ReasonCode(
        "HISTORY",
        "little is known about this card, or it is known for a short time only",
        ((at_most("history_length", PAYMENTS_FOR_HABIT - 1),), (at_most("history_days", YOUNG_DAYS),)),
    ),
    ReasonCode(
        "MERCHANT_RISK",
        "fraud at this merchant has become known in the last weeks",
        ((is_known("merchant_days_since_fraud"),),),
    ),
    ReasonCode(
        "MERCHANT_ACTIVITY",
        "a merchant with few payments on record, or with many more yesterday than usual",
        (
            (at_most("merchant_count_30d", QUIET_MERCHANT_PAYMENTS),),
            (at_least("merchant_count_1d", BUSY_DAY_PAYMENTS), at_most("merchant_count_30d", BUSY_DAY_PAYMENTS / 3)),
        ),
    ),
    ReasonCode(
        "EXPOSURE",
        "earlier use at a merchant whose cards later saw fraud elsewhere three times as often as expected, or more",
        ((at_least("exposure", CLEAR_EXPOSURE),),),
    ),
    ReasonCode(
        "SHARED_DEVICE", "a device that other cards have used too", ((at_least("device_cards", SHARING_CARDS),),)
    ),
    ReasonCode("DEVICE_RISK", "known fraud with this device", ((at_least("device_frauds", 1),),)),
    ReasonCode(
        "DEVICE_AGE", "a device without recorded use before the last week", ((at_most("device_age", YOUNG_DAYS),),)
    ),
)
"""Every code of the features, in their order."""

_CODES: Final = [each.code for each in REASON_CODES]
_CODE_OF_FEATURE: Final = np.array([_CODES.index(code) for code in REASONS])
_CONDITIONS: Final = Conditions([each.alternatives for each in REASON_CODES])

NEUTRAL_CODE: Final = "COMBINATION"
"""The code where no other explains a score: the trees found a combination of values for which there is no code."""
SUPPORTING_CODES: Final = frozenset({"AMOUNT", "TIME", "CHANNEL", "CATEGORY"})
"""Codes that are true of every payment. By themselves they say nothing against a payment, so they are never alone."""

REASON_TEXTS: Final[dict[str, str]] = {
    **{each.code: each.text for each in REASON_CODES},
    NEUTRAL_CODE: "all values of the payment taken together; none of them is a sufficient reason by itself",
    "RULE_SPEED": "rule: too far from the card's last place for the time between",
    "RULE_VELOCITY": "rule: too many payments within an hour",
    "RULE_CARD_TESTING": "rule: several small payments within an hour",
    "RULE_AMOUNT": "rule: a large amount, far above the card's largest so far",
    "RULE_DEVICE": "rule: a device with known fraud",
    "RULE_MERCHANT": "rule: a merchant that is new to the card and has had much fraud in the last days",
    "RULE_ALL_NEW": "rule: device, merchant and country are all new to the card",
}


def true_codes(rows: NDArray[np.float32]) -> list[set[str]]:
    """Return the codes that are true of each feature row, of rows float32 [n, features].

    >>> from cardwatch.features.definitions import FEATURES, column
    >>> rows = np.full((2, len(FEATURES)), np.nan, np.float32)
    >>> rows[0, [column("amount"), column("device_is_new")]] = 20.0, 1.0
    >>> [sorted(codes) for codes in true_codes(rows)]
    [['AMOUNT', 'NEW_DEVICE'], []]
    """
    return [{_CODES[index] for index in np.flatnonzero(found)} for found in _CONDITIONS.hold(rows)]


def features_with_true_code(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether the code of each feature is true of each row, bool [n, features], as the rows, float32."""
    found: NDArray[np.bool_] = _CONDITIONS.hold(rows)[:, _CODE_OF_FEATURE]
    return found
