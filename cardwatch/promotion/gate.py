"""Retraining gate: whether a challenger replaces the champion, a pure function of their performances on the same rows.

The days of these rows are those of `cardwatch.promotion.split`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from msgspec import Struct


class Performance(Struct, frozen=True, kw_only=True):
    """Performance of one model on the rows of the evaluation window. A metric that the rows cannot give is NaN.

    `average_precision` and `recall` (at a false-positive rate of 0.1 %) lie in 0..1; higher is better.
    `expected_cost` is the cost of the decisions divided by the cost of approving everything; lower is better.
    `expected_frauds` is the sum of the calibrated probabilities; it is close to `frauds` if the calibration is right.
    """

    rows: int
    frauds: int
    average_precision: float
    recall: float
    expected_cost: float
    expected_frauds: float


class PromotionPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requirements of the gate. Ratios are challenger to champion.

    A first champion has no predecessor, so only `minimum_average_precision` and the calibration apply to it. With a
    `calibration_factor` of k the expected frauds may be between 1/k and k times the frauds that occurred.
    """

    minimum_rows: int = 1_000
    minimum_frauds: int = 10
    minimum_average_precision: float = 0.1
    minimum_average_precision_ratio: float = 1.02
    minimum_recall_ratio: float = 0.9
    maximum_cost_ratio: float = 1.05
    calibration_factor: float = 3.0


class Verdict(Struct, frozen=True, kw_only=True):
    """Result of the gate. `reasons` has one sentence for each requirement, with its numbers, passed or failed."""

    promoted: bool
    reasons: list[str]


class _Check(NamedTuple):
    passed: bool
    sentence: str


def apply_gate(champion: Performance | None, challenger: Performance, policy: PromotionPolicy) -> Verdict:
    """Return whether the challenger is promoted. `champion` is None if there is no champion yet.

    A NaN fails its requirement. Raises `ValueError` if the two performances are not from the same rows.
    """
    if champion is not None and (champion.rows, champion.frauds) != (challenger.rows, challenger.frauds):
        raise ValueError("champion and challenger were not evaluated on the same rows")
    checks = _absolute_checks(challenger, policy)
    if champion is not None:
        checks += _relative_checks(champion, challenger, policy)
    return Verdict(
        promoted=all(check.passed for check in checks),
        reasons=[f"{'passed' if check.passed else 'FAILED'}: {check.sentence}" for check in checks],
    )


def _absolute_checks(challenger: Performance, policy: PromotionPolicy) -> list[_Check]:
    ratio = challenger.expected_frauds / challenger.frauds if challenger.frauds else math.nan
    lowest, highest = 1 / policy.calibration_factor, policy.calibration_factor
    return [
        _Check(
            challenger.rows >= policy.minimum_rows,
            f"judged on {challenger.rows} rows, at least {policy.minimum_rows} are needed",
        ),
        _Check(
            challenger.frauds >= policy.minimum_frauds,
            f"judged on {challenger.frauds} frauds, at least {policy.minimum_frauds} are needed",
        ),
        _Check(
            challenger.average_precision >= policy.minimum_average_precision,
            f"average precision {challenger.average_precision:.3f}, "
            f"at least {policy.minimum_average_precision:.3f} in any case",
        ),
        _Check(
            lowest <= ratio <= highest,
            f"expects {challenger.expected_frauds:.1f} frauds where {challenger.frauds} happened, "
            f"{ratio:.2f} times as many, allowed {lowest:.2f} to {highest:.2f}",
        ),
    ]


def _relative_checks(champion: Performance, challenger: Performance, policy: PromotionPolicy) -> list[_Check]:
    precision_floor = champion.average_precision * policy.minimum_average_precision_ratio
    recall_floor = champion.recall * policy.minimum_recall_ratio
    cost_ceiling = champion.expected_cost * policy.maximum_cost_ratio
    return [
        _Check(
            challenger.average_precision >= precision_floor,
            f"average precision {challenger.average_precision:.3f} against the champion's "
            f"{champion.average_precision:.3f}, at least {precision_floor:.3f} is needed",
        ),
        _Check(
            challenger.recall >= recall_floor,
            f"recall at 0.1 % false positives {challenger.recall:.3f} against the champion's "
            f"{champion.recall:.3f}, at least {recall_floor:.3f} is needed",
        ),
        _Check(
            challenger.expected_cost <= cost_ceiling,
            f"cost {challenger.expected_cost:.3f} of approving everything against the champion's "
            f"{champion.expected_cost:.3f}, at most {cost_ceiling:.3f} is allowed",
        ),
    ]
