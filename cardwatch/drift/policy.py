"""When is a model worn out? Pure: what was seen on each day in, what to do out.

Two witnesses are heard. Data drift is known at once but proves nothing by itself: people may spend otherwise and
fraud be caught as before. Average precision on matured labels is the loss itself, but it comes days late and is noisy,
because a week holds some 80 frauds. So drift lowers the burden of proof for a loss, and never retrains alone.

The noise: average precision over n frauds has about the variance of a proportion, AP (1 - AP) / n (the binomial
interval of Boyd, Eng and Page, "Area under the precision-recall curve: point estimates and confidence intervals",
ECML PKDD 2013), times a design effect where frauds come in clusters that stand or fall together (Kish, "Survey
sampling", 1965). This closed form was preferred to a bootstrap because it needs only AP and n, which is all that the
registry keeps of the baseline. In the simulated world without a change, the losses of weeks apart have a spread of 0.96
such errors: it needs no inflation there.
"""

from __future__ import annotations

import math
from datetime import date, timedelta

from msgspec import Struct, structs

STABLE = "stable"
SUSPECTED = "drift suspected"
DECAYED = "worn out"
STATES = (STABLE, SUSPECTED, DECAYED)


class DriftResult(Struct, frozen=True, kw_only=True):
    """How far the current rows are from the reference.

    `scores` is the distance per compared column, 0 for equal distributions, higher is further apart. `drifted` names
    the columns over their threshold, furthest first; `share` is their part of the compared ones (0..1).
    """

    drifted: list[str]
    share: float
    scores: dict[str, float]


class MeasuredPerformance(Struct, frozen=True, kw_only=True):
    """Average precision (0..1, higher is better) over rows that hold `frauds` frauds."""

    average_precision: float
    frauds: int


class EvidenceThreshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much loss has to be proven: relative to the baseline (0..1), in standard errors, on so many days in a row."""

    loss: float
    standard_errors: float
    days: int


class DriftPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What wears a model out, and when retraining is worth it.

    Labels of an event day are complete `maturity_days` after it. Performance is measured over the newest
    `performance_days` matured days, drift over the newest `drift_days` (a week, so that every weekday counts alike).
    Data drift is `drift_share` of the watched features; it counts for `drift_memory_days`, as its loss shows later.
    With fewer than `minimum_frauds` matured frauds performance is not judged.

    A challenger learns from days before the newest `judge_days` matured ones, on which it is judged; trained on the
    first sign of a loss it has seen nothing new, and is no better. So a retraining waits until there have been
    `learnable_days` days of loss more than it is judged on, and until the first day of a drift is among those to learn
    from. After a promotion none follows for `days_after_promotion`, after a refusal for `days_after_refusal`.
    """

    maturity_days: int = 5
    performance_days: int = 7
    drift_days: int = 7
    drift_share: float = 0.15
    drift_memory_days: int = 7
    minimum_frauds: int = 30
    design_effect: float = 1.0
    with_drift: EvidenceThreshold = EvidenceThreshold(loss=0.1, standard_errors=1.2, days=2)
    without_drift: EvidenceThreshold = EvidenceThreshold(loss=0.2, standard_errors=3.3, days=3)
    judge_days: int = 3
    learnable_days: int = 4
    days_after_promotion: int = 10
    days_after_refusal: int = 3


class DayObservation(Struct, frozen=True, kw_only=True):
    """What was seen at the end of `day`.

    `performance` is the champion's on the newest matured days, None if nothing that it decided has matured. `promised`
    is its performance when it was judged, None if that is not known: then its first sufficient window is the baseline.
    """

    day: date
    champion_version: str
    drifted_features: list[str]
    drift_share: float
    performance: MeasuredPerformance | None
    promised: MeasuredPerformance | None


class PastRetraining(Struct, frozen=True, kw_only=True):
    """The day on which a retraining was judged, and whether its model was promoted."""

    day: date
    promoted: bool


class DriftState(Struct, frozen=True, kw_only=True):
    """What is remembered from day to day: a function of the observations and retrainings alone.

    `days_of_loss` and `days_of_heavy_loss` count the latest days in a row on which the loss met the lower and the
    higher burden. `first_window` is the champion's first sufficient performance. `drift_since` is the first day of the
    drift whose newest day is `last_drift`.
    """

    champion_version: str | None = None
    first_window: MeasuredPerformance | None = None
    days_of_loss: int = 0
    days_of_heavy_loss: int = 0
    drift_since: date | None = None
    last_drift: date | None = None
    last_retraining: PastRetraining | None = None


class Assessment(Struct, frozen=True, kw_only=True):
    """What a day means: `state` is one of the three above, `reasons` are sentences with their numbers."""

    state: str
    retrain: bool
    baseline: MeasuredPerformance | None
    reasons: list[str]


def assess(watch: DriftState, seen: DayObservation, policy: DriftPolicy) -> tuple[DriftState, Assessment]:
    """Take in one day, after those before it: what is to be remembered, and what the day means."""
    watch = _remember(watch, seen, policy)
    drift = _drift_counts(watch, seen.day, policy)
    loss = watch.days_of_loss >= policy.with_drift.days
    worn_out = (drift and loss) or watch.days_of_heavy_loss >= policy.without_drift.days
    waits = [*_waits_to_learn(watch, seen.day, policy), *_rests(watch, seen.day, policy)]
    baseline = seen.promised or watch.first_window
    return watch, Assessment(
        state=DECAYED if worn_out else SUSPECTED if drift or loss else STABLE,
        retrain=worn_out and not waits,
        baseline=baseline,
        reasons=[
            *_about_drift(watch, seen, policy),
            *_about_loss(watch, seen.performance, baseline, policy),
            *(waits if worn_out else []),
        ],
    )


def after_retraining(watch: DriftState, day: date, *, promoted: bool) -> DriftState:
    """The watch after a retraining on `day` was judged; before or after `assess` of that day makes no difference."""
    return structs.replace(watch, last_retraining=PastRetraining(day=day, promoted=promoted))


def relative_loss(baseline: MeasuredPerformance, current: MeasuredPerformance) -> float:
    """How much of the baseline's average precision is lost: 0.2 for a fifth, negative for a gain."""
    if baseline.average_precision <= 0:
        return 0.0
    return 1 - current.average_precision / baseline.average_precision


def standard_errors_lost(baseline: MeasuredPerformance, current: MeasuredPerformance, design_effect: float) -> float:
    """The loss of average precision over its standard error, higher is surer; negative for a gain."""
    variance = sum(_variance(measured, design_effect) for measured in (baseline, current))
    return (baseline.average_precision - current.average_precision) / math.sqrt(variance)


def _variance(measured: MeasuredPerformance, design_effect: float) -> float:
    # A window without a catch, or without a miss, is not free of noise: stay one fraud away from 0 and 1.
    least = 1 / (measured.frauds + 2)
    proportion = min(max(measured.average_precision, least), 1 - least)
    return design_effect * proportion * (1 - proportion) / max(measured.frauds, 1)


def _remember(watch: DriftState, seen: DayObservation, policy: DriftPolicy) -> DriftState:
    if watch.champion_version != seen.champion_version:
        watch = DriftState(champion_version=seen.champion_version, last_retraining=watch.last_retraining)
    sufficient = _sufficient(seen.performance, policy)
    first_window = watch.first_window or sufficient
    baseline = seen.promised or first_window
    return structs.replace(
        watch,
        first_window=first_window,
        days_of_loss=watch.days_of_loss + 1 if _bears(baseline, sufficient, policy.with_drift, policy) else 0,
        days_of_heavy_loss=(
            watch.days_of_heavy_loss + 1 if _bears(baseline, sufficient, policy.without_drift, policy) else 0
        ),
        **_drift_days(watch, seen, policy),
    )


def _drift_days(watch: DriftState, seen: DayObservation, policy: DriftPolicy) -> dict[str, date]:
    if seen.drift_share < policy.drift_share:
        return {}
    goes_on = watch.drift_since is not None and _drift_counts(watch, seen.day, policy)
    return {"last_drift": seen.day} if goes_on else {"last_drift": seen.day, "drift_since": seen.day}


def _sufficient(performance: MeasuredPerformance | None, policy: DriftPolicy) -> MeasuredPerformance | None:
    return performance if performance is not None and performance.frauds >= policy.minimum_frauds else None


def _bears(
    baseline: MeasuredPerformance | None,
    current: MeasuredPerformance | None,
    burden: EvidenceThreshold,
    policy: DriftPolicy,
) -> bool:
    if baseline is None or current is None:
        return False
    errors = standard_errors_lost(baseline, current, policy.design_effect)
    return relative_loss(baseline, current) >= burden.loss and errors >= burden.standard_errors


def _drift_counts(watch: DriftState, day: date, policy: DriftPolicy) -> bool:
    return watch.last_drift is not None and day - watch.last_drift < timedelta(days=policy.drift_memory_days)


def _waits_to_learn(watch: DriftState, day: date, policy: DriftPolicy) -> list[str]:
    newest_to_learn = day - timedelta(days=policy.maturity_days + policy.judge_days)
    if watch.days_of_loss < policy.judge_days + policy.learnable_days:
        return [f"retraining waits for {policy.judge_days + policy.learnable_days} days of loss in a row"]
    if _drift_counts(watch, day, policy) and watch.drift_since is not None and newest_to_learn < watch.drift_since:
        return [f"retraining waits for {watch.drift_since}, when the drift began, to be among the days to learn from"]
    return []


def _rests(watch: DriftState, day: date, policy: DriftPolicy) -> list[str]:
    if (last := watch.last_retraining) is None:
        return []
    until = last.day + timedelta(days=policy.days_after_promotion if last.promoted else policy.days_after_refusal)
    verdict = "promoted" if last.promoted else "refused"
    return [f"no retraining before {until}: the one of {last.day} was {verdict}"] if day < until else []


def _about_drift(watch: DriftState, seen: DayObservation, policy: DriftPolicy) -> list[str]:
    if seen.drift_share >= policy.drift_share:
        furthest = ", ".join(seen.drifted_features[:5])
        return [f"{seen.drift_share:.0%} of the features have drifted, {policy.drift_share:.0%} count: {furthest}"]
    if _drift_counts(watch, seen.day, policy):
        return [f"the features drifted on {watch.last_drift}, less than {policy.drift_memory_days} days ago"]
    return []


def _about_loss(
    watch: DriftState, current: MeasuredPerformance | None, baseline: MeasuredPerformance | None, policy: DriftPolicy
) -> list[str]:
    if current is None or baseline is None or not watch.days_of_loss:
        return []
    errors = standard_errors_lost(baseline, current, policy.design_effect)
    return [
        f"average precision {current.average_precision:.3f} over {current.frauds} matured frauds, baseline "
        f"{baseline.average_precision:.3f}: {relative_loss(baseline, current):.0%} lost, "
        f"{errors:.1f} standard errors, {watch.days_of_loss} days in a row"
    ]
