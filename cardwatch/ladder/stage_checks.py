"""What a version must have shown on a stage before it goes up: checks over recorded decisions.

Everything is computed from what was recorded while the version scored or decided live traffic, never from a replay, so
a fault of serving (a slow model, another feature schema, a wrong share) shows here and nowhere earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from cardwatch.ladder.policy import LadderPolicy
from cardwatch.ladder.stage_rows import StageRows
from cardwatch.ladder.stage_verdict import StageCheck, StageVerdict
from cardwatch.promotion.card_sums import sums_by_card
from cardwatch.promotion.paired_bootstrap import bound_saving

ADDED_ALERTS: Final = 10
"""Alerts that are added to both sides of a ratio, so that three instead of one are no reason to refuse a version."""
COST_ERROR_RATE: Final = 0.05
"""Probability to refuse a version for its cost although it is not worse by the margin."""


def shadow_verdict(days: Sequence[StageRows], policy: LadderPolicy) -> StageVerdict:
    """Return the verdict on a version in shadow, over the recorded decisions of the days since it went there."""
    rows = sum(len(day.cards) for day in days)
    scored = sum(int(np.count_nonzero(day.both)) for day in days)
    whole = [day for day in days if _coverage(day) >= policy.minimum_coverage]
    checks = [
        _at_least(
            "whole days",
            len(whole),
            policy.shadow_days,
            f"it has scored at least {policy.minimum_coverage:.0%} of the decisions of {len(whole)} days",
        ),
        _at_least("decisions", scored, policy.minimum_decisions, f"it has scored {scored:,} of {rows:,} decisions"),
        _alert_ratio(days, policy),
    ]
    if policy.shadow_frauds:
        frauds = sum(int(np.count_nonzero(day.is_fraud & day.both)) for day in days)
        checks.append(_at_least("frauds", frauds, policy.shadow_frauds, f"{frauds} frauds among them are known"))
        checks.append(_cost(days, policy))
    return _verdict(checks, days)


def canary_verdict(days: Sequence[StageRows], policy: LadderPolicy) -> StageVerdict:
    """Return the verdict on a canary, over the recorded decisions of the days since it decides its present share."""
    decided = [int(np.count_nonzero(day.is_by_canary)) for day in days]
    with_canary = sum(1 for number in decided if number)
    by_model = sum(int(np.count_nonzero(~day.is_degraded)) for day in days)
    others = sum(int(np.count_nonzero((day.is_by_canary != day.is_canary_card) & ~day.is_degraded)) for day in days)
    checks = [
        _at_least("days", with_canary, policy.canary_days, f"it has decided on {with_canary} days"),
        _at_least("decisions", sum(decided), policy.minimum_decisions, f"it has decided {sum(decided):,} transactions"),
        StageCheck(
            name="hash rule",
            passed=others == 0,
            value=float(others),
            threshold=0.0,
            sentence=f"{others:,} of {by_model:,} decisions were made by another model than the card's hash says",
        ),
        _alert_ratio(days, policy),
        _degraded(days, policy),
    ]
    return _verdict(checks, days)


def _verdict(checks: list[StageCheck], days: Sequence[StageRows]) -> StageVerdict:
    dates = [day.day for day in days if len(day.cards)]
    return StageVerdict(
        checks=checks,
        rows=sum(len(day.cards) for day in days),
        first_day=min(dates, default=None),
        last_day=max(dates, default=None),
    )


def _coverage(day: StageRows) -> float:
    """The share of the day's decisions by models that both models have scored; 0 for a day without any."""
    by_model = int(np.count_nonzero(~day.is_degraded))
    return int(np.count_nonzero(day.both)) / by_model if by_model else 0.0


def _at_least(name: str, value: int, threshold: int, sentence: str) -> StageCheck:
    return StageCheck(
        name=name,
        passed=value >= threshold,
        value=float(value),
        threshold=float(threshold),
        sentence=f"{sentence}, at least {threshold:,} are needed",
    )


def _alert_ratio(days: Sequence[StageRows], policy: LadderPolicy) -> StageCheck:
    """Compare the alerts that both models want on the same rows."""
    champion = sum(int(np.count_nonzero(day.champion_alerts & day.both)) for day in days)
    candidate = sum(int(np.count_nonzero(day.candidate_alerts & day.both)) for day in days)
    ratio = (candidate + ADDED_ALERTS) / (champion + ADDED_ALERTS)
    return StageCheck(
        name="alerts",
        passed=ratio <= policy.maximum_alert_ratio,
        value=ratio,
        threshold=policy.maximum_alert_ratio,
        sentence=(
            f"on the same transactions it wants {candidate:,} alerts and the champion {champion:,}; with "
            f"{ADDED_ALERTS} added to both that is {ratio:.2f} times, at most {policy.maximum_alert_ratio:g} is allowed"
        ),
    )


def _degraded(days: Sequence[StageRows], policy: LadderPolicy) -> StageCheck:
    rows = sum(len(day.cards) for day in days)
    degraded = sum(int(np.count_nonzero(day.is_degraded)) for day in days)
    share, most = degraded / rows if rows else 0.0, policy.guard.maximum_degraded_share
    return StageCheck(
        name="degraded",
        passed=share <= most,
        value=share,
        threshold=most,
        sentence=f"rules decided {share:.2%} of the transactions because there was no score, at most {most:.2%} may be",
    )


def _cost(days: Sequence[StageRows], policy: LadderPolicy) -> StageCheck:
    """Refuse a version of which the known outcomes prove that it costs more than the champion by the margin."""
    champion = np.concatenate([day.champion_costs_minor for day in days] or [np.empty(0)])
    candidate = np.concatenate([day.candidate_costs_minor for day in days] or [np.empty(0)])
    cards = np.concatenate([day.cards for day in days] or [np.empty(0, np.int64)])
    known = ~(np.isnan(champion) | np.isnan(candidate))
    loss = sums_by_card(cards[known], (candidate - champion)[known], champion[known])
    bound = bound_saving(loss, error_rate=COST_ERROR_RATE)
    proven = bound.lower_bound
    return StageCheck(
        name="cost",
        passed=proven is None or proven <= policy.cost_margin,
        value=proven,
        threshold=policy.cost_margin,
        sentence=(
            f"on {int(np.count_nonzero(known)):,} known outcomes it costs {bound.saving:+.1%} compared with the "
            f"champion"
            + ("" if proven is None else f", at least {proven:+.1%} with {1 - COST_ERROR_RATE:.0%} confidence")
            + f"; a proven {policy.cost_margin:.0%} more is too much"
        ),
    )
