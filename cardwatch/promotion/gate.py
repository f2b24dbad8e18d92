"""The gate between a challenger and the alias `champion`, and the days on which it is judged.

    history                      G                    T - maturity          T
    |--------- train ------------|------- judge ------|---- not mature -----|

A challenger is trained on days before G. Champion and challenger are judged on the same rows of
[G, T - maturity), which neither was trained on. Later days are used for nothing: their labels are not all in.
What was judged is what is promoted.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from cardwatch.label_maturity import newest_mature_day

_DAY: Final = timedelta(days=1)
Check = tuple[bool, str]
"""Whether it passed, and what was asked and seen, as a sentence."""


class NotEnoughHistory(Misconfigured):
    """There are too few matured days to train and to judge; the message says how many are needed."""


class Windows(Struct, frozen=True, kw_only=True):
    """Half-open ranges of event days (UTC), one after the other.

    Train on [train_from, judge_from), judge on [judge_from, judge_until).
    """

    train_from: date
    judge_from: date
    judge_until: date

    @property
    def train_days(self) -> int:
        """Days in the training window."""
        return (self.judge_from - self.train_from).days

    @property
    def judge_days(self) -> int:
        """Days in the judging window."""
        return (self.judge_until - self.judge_from).days


def windows(
    as_of: date,
    *,
    first: date,
    maturity_days: int,
    judge_days: int,
    train_days: int,
    minimum_train_days: int = 1,
) -> Windows:
    """The windows as they are known at the end of day `as_of`, when the archive begins at day `first`.

    A day is mature when `maturity_days` whole days lie between its end and the end of `as_of`. At most the
    newest `train_days` before G are trained on; with fewer than `minimum_train_days`, `NotEnoughHistory`.
    """
    judge_until = newest_mature_day(as_of, maturity_days) + _DAY
    judge_from = judge_until - timedelta(days=judge_days)
    train_from = max(first, judge_from - timedelta(days=train_days))
    available = (judge_from - train_from).days
    if available < minimum_train_days:
        needed = minimum_train_days + judge_days + maturity_days
        raise NotEnoughHistory(
            f"history from {first} to {as_of} is {(as_of - first).days + 1} days long; {needed} are needed: "
            f"{minimum_train_days} to train, {judge_days} to judge, {maturity_days} for labels to mature"
        )
    return Windows(train_from=train_from, judge_from=judge_from, judge_until=judge_until)


class Performance(Struct, frozen=True, kw_only=True):
    """What the gate needs to know about one model on the rows of the judging window.

    `average_precision` and `recall` (at a false-positive rate of 0.1 %) lie in 0..1, higher is better.
    `expected_cost` is what the decisions cost as a share of what approving everything costs, lower is better.
    `expected_frauds` is the sum of the calibrated probabilities: near `frauds` when they are honest. A number that
    the rows cannot give is NaN.
    """

    rows: int
    frauds: int
    average_precision: float
    recall: float
    expected_cost: float
    expected_frauds: float


class PromotionPolicy(Struct, frozen=True, kw_only=True):
    """What a challenger has to show.

    Ratios are challenger to champion. `minimum_average_precision` is an absolute floor: all that a first
    champion, who has nobody to be compared with, must reach besides calibration. A `calibration_factor` of k
    allows expected frauds from 1/k to k times those that happened.
    """

    minimum_rows: int = 1_000
    minimum_frauds: int = 10
    minimum_average_precision: float = 0.1
    minimum_average_precision_ratio: float = 1.02
    minimum_recall_ratio: float = 0.9
    maximum_cost_ratio: float = 1.05
    calibration_factor: float = 3.0


class Verdict(Struct, frozen=True, kw_only=True):
    """The gate's answer; `reasons` holds every check as a sentence with its numbers, passed or failed."""

    promoted: bool
    reasons: list[str]


def judge(champion: Performance | None, challenger: Performance, policy: PromotionPolicy) -> Verdict:
    """Whether the challenger may take the champion's place; `champion` is None when there is none yet.

    Both performances must come from the same rows. A NaN fails its check.
    """
    if champion is not None and (champion.rows, champion.frauds) != (challenger.rows, challenger.frauds):
        raise ValueError("champion and challenger were not judged on the same rows")
    checks = _evidence(challenger, policy) + _by_itself(challenger, policy)
    if champion is not None:
        checks += _against(champion, challenger, policy)
    return Verdict(
        promoted=all(passed for passed, _ in checks),
        reasons=[f"{'passed' if passed else 'FAILED'}: {sentence}" for passed, sentence in checks],
    )


def _evidence(seen: Performance, policy: PromotionPolicy) -> list[Check]:
    return [
        (
            seen.rows >= policy.minimum_rows,
            f"judged on {seen.rows} rows, at least {policy.minimum_rows} are needed",
        ),
        (
            seen.frauds >= policy.minimum_frauds,
            f"judged on {seen.frauds} frauds, at least {policy.minimum_frauds} are needed",
        ),
    ]


def _by_itself(challenger: Performance, policy: PromotionPolicy) -> list[Check]:
    ratio = challenger.expected_frauds / challenger.frauds if challenger.frauds else math.nan
    lowest, highest = 1 / policy.calibration_factor, policy.calibration_factor
    return [
        (
            challenger.average_precision >= policy.minimum_average_precision,
            f"average precision {challenger.average_precision:.3f}, "
            f"at least {policy.minimum_average_precision:.3f} in any case",
        ),
        (
            lowest <= ratio <= highest,
            f"expects {challenger.expected_frauds:.1f} frauds where {challenger.frauds} happened, "
            f"{ratio:.2f} times as many, allowed {lowest:.2f} to {highest:.2f}",
        ),
    ]


def _against(champion: Performance, challenger: Performance, policy: PromotionPolicy) -> list[Check]:
    precision_floor = champion.average_precision * policy.minimum_average_precision_ratio
    recall_floor = champion.recall * policy.minimum_recall_ratio
    cost_ceiling = champion.expected_cost * policy.maximum_cost_ratio
    return [
        (
            challenger.average_precision >= precision_floor,
            f"average precision {challenger.average_precision:.3f} against the champion's "
            f"{champion.average_precision:.3f}, at least {precision_floor:.3f} is needed",
        ),
        (
            challenger.recall >= recall_floor,
            f"recall at 0.1 % false positives {challenger.recall:.3f} against the champion's "
            f"{champion.recall:.3f}, at least {recall_floor:.3f} is needed",
        ),
        (
            challenger.expected_cost <= cost_ceiling,
            f"cost {challenger.expected_cost:.3f} of approving everything against the champion's "
            f"{champion.expected_cost:.3f}, at most {cost_ceiling:.3f} is allowed",
        ),
    ]
