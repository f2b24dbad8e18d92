"""The days on which a challenger is trained, and those on which champion and challenger are evaluated.

    first day of history         G                    T - maturity          T
    |--------- train ------------|----- evaluate -----|---- not mature -----|

T is the end of the day `as_of`. A challenger is trained on days before G. Champion and challenger are evaluated on the
same rows of [G, T - maturity), on which neither was trained. Labels of later days are incomplete, so these days are
not used.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from msgspec import Struct, field

from cardwatch.errors import Misconfigured
from cardwatch.label_maturity import newest_mature_day

_DAY: Final = timedelta(days=1)


class NotEnoughHistory(Misconfigured):
    """There are fewer matured days than training and evaluation need. The message states both numbers."""


class TemporalSplit(Struct, frozen=True, kw_only=True):
    """Training window [train_from, evaluate_from) and evaluation window [evaluate_from, evaluate_until) in UTC days.

    In JSON the evaluation window is `judge_from` and `judge_until`: fingerprints of training sets contain these names.
    """

    train_from: date
    evaluate_from: date = field(name="judge_from")
    evaluate_until: date = field(name="judge_until")


def temporal_split(
    as_of: date,
    *,
    first: date,
    maturity_days: int,
    evaluation_days: int,
    train_days: int,
    minimum_train_days: int = 1,
    excluded_days: frozenset[date] = frozenset(),
) -> TemporalSplit:
    """Return the windows as they are known at the end of day `as_of`, for a history that begins on day `first`.

    A day is mature when `maturity_days` full days lie between its end and the end of `as_of`. The evaluation window
    reaches back until it holds `evaluation_days` days that are not excluded, the training window has at most the
    `train_days` days before it. Raises `NotEnoughHistory` if fewer than `minimum_train_days` of these are not excluded.
    """
    evaluate_until = newest_mature_day(as_of, maturity_days) + _DAY
    evaluate_from = evaluate_until
    missing = evaluation_days
    while missing > 0 and evaluate_from > first:
        evaluate_from -= _DAY
        missing -= evaluate_from not in excluded_days
    train_from = max(first, evaluate_from - timedelta(days=train_days))
    usable = sum(train_from + _DAY * number not in excluded_days for number in range((evaluate_from - train_from).days))
    if missing > 0 or usable < minimum_train_days:
        needed = minimum_train_days + evaluation_days + maturity_days
        without = f" without {len(excluded_days)} excluded days" if excluded_days else ""
        raise NotEnoughHistory(
            f"history from {first} to {as_of} is {(as_of - first).days + 1} days long; {needed} are needed{without}: "
            f"{minimum_train_days} to train, {evaluation_days} to judge, {maturity_days} for labels to mature"
        )
    return TemporalSplit(train_from=train_from, evaluate_from=evaluate_from, evaluate_until=evaluate_until)
