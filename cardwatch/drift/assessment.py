"""Daily assessment of the champion: stable, suspected of drift, or decayed. Pure functions of the observations.

There are two kinds of evidence. Data drift is known immediately but proves nothing alone: customers may change their
habits while fraud is caught as before. A loss of performance on mature labels is the damage itself, but it is known
days late and is noisy, because a week holds some 80 frauds. Drift alone never triggers retraining; together with drift,
a smaller loss suffices. Two measures show a loss: less average precision, and more missed frauds per decision.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import inf, isfinite
from typing import NamedTuple

from msgspec import Struct, structs

from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.quarantine import blocked_reasons
from cardwatch.drift.missed_frauds import MissedFrauds, rate_ratio, standard_errors_risen
from cardwatch.drift.performance import (
    JudgedMeasures,
    MeasuredPerformance,
    relative_loss,
    standard_errors_lost,
)
from cardwatch.drift.policy import DriftPolicy, EvidenceThreshold
from cardwatch.drift.signals import (
    ALERT,
    DATA_DRIFT,
    PERFORMANCE,
    RETRAIN,
    RETRAINING_WAITS,
    WATCH,
    action_signals,
    contract_signals,
    coverage_signals,
    not_compared_signals,
    null_share_signals,
    signals,
)
from cardwatch.label_maturity import newest_mature_day
from cardwatch.label_states import LabelCoverage
from cardwatch.progress import DECAYED, STABLE, SUSPECTED, ActionShareChange, NullShareChange, RecallBounds, Signal
from cardwatch.wording import plural


class DriftResult(Struct, frozen=True, kw_only=True):
    """Distance between the current rows and the reference rows.

    `scores` is the distance per compared column: 0 for equal distributions, higher is further apart. `thresholds` are
    the distances from which on these columns have drifted. `drifted` names the columns that have, furthest first;
    `share` is their part of the compared columns (0..1).
    `not_compared` are the columns that cannot be compared, each with the reason.
    """

    drifted: list[str]
    share: float
    scores: dict[str, float]
    thresholds: dict[str, float]
    not_compared: dict[str, str]


class DayObservation(Struct, frozen=True, kw_only=True):
    """Drift and performance of the champion at the end of `day`.

    `performance` is measured on the newest mature days, None if no decision of the champion has mature labels.
    `judged_performance` is its performance when it was judged, None if unknown: then the first sufficient `performance`
    is the baseline. `missed` and `judged_missed` are the same for missed frauds: over the same days, None without a
    decision of the champion. `not_compared`, `null_share_changes` and `action_share_changes` are findings, see
    `DayMonitored`: they are among the reasons of the assessment, and have no influence on it. `recall_bounds` and the
    estimates are not even reasons: estimates do not see a kind of fraud that the model takes for genuine.
    `data_findings` break the data contract: while one of them blocks, there is no retraining.
    """

    day: date
    champion_version: str
    drifted_features: list[str]
    drift_share: float
    not_compared: dict[str, str]
    null_share_changes: dict[str, NullShareChange]
    data_findings: list[DataFinding] = []
    performance: MeasuredPerformance | None
    judged_performance: MeasuredPerformance | None
    label_coverage: LabelCoverage | None = None
    estimated_average_precision: float | None = None
    estimate_of_matured: float | None = None
    action_share_changes: dict[str, ActionShareChange] = {}
    missed: MissedFrauds | None = None
    judged_missed: MissedFrauds | None = None
    recall_bounds: RecallBounds | None = None


class PastRetraining(Struct, frozen=True, kw_only=True):
    """The day on which a retraining was judged, and whether its model was promoted."""

    day: date
    promoted: bool


class DriftState(Struct, frozen=True, kw_only=True):
    """State carried from day to day. It depends only on the observations and retrainings so far.

    `days_of_loss` and `days_of_large_loss` count the latest consecutive days on which the loss reached the threshold
    `with_drift` and `without_drift`, by either measure. `first_performance` and `first_missed` are the champion's first
    sufficient measurements. `drift_since` is the first day of the drift whose newest day is `last_drift`. `is_decayed`:
    the champion was decayed on the newest day.
    """

    champion_version: str | None = None
    first_performance: MeasuredPerformance | None = None
    first_missed: MissedFrauds | None = None
    days_of_loss: int = 0
    days_of_large_loss: int = 0
    drift_since: date | None = None
    last_drift: date | None = None
    is_decayed: bool = False
    last_retraining: PastRetraining | None = None


class Assessment(Struct, frozen=True, kw_only=True):
    """Assessment of a day: `state` is one of `cardwatch.progress.STATES`, `signals` say why, with the numbers.

    `baseline` and `baseline_missed` are what the observation was compared with. Each signal begins on this day;
    `with_beginnings` gives it its first day.
    """

    state: str
    retrain: bool
    baseline: MeasuredPerformance | None
    baseline_missed: MissedFrauds | None
    signals: list[Signal]

    @property
    def reasons(self) -> list[str]:
        """The sentences of the signals."""
        return [signal.sentence for signal in self.signals]


def assess(drift_state: DriftState, observation: DayObservation, policy: DriftPolicy) -> tuple[DriftState, Assessment]:
    """Return the state after this day, and the assessment of the day. Days are assessed in order."""
    drift_state = _next_state(drift_state, observation, policy)
    drift = _drift_is_recent(drift_state, observation.day, policy)
    loss = drift_state.days_of_loss >= policy.with_drift.days
    is_certain = (drift and loss) or drift_state.days_of_large_loss >= policy.without_drift.days
    # A loss that is as large as before and less certain, because a week had fewer frauds, is no recovery. It does not
    # start a retraining either.
    decayed = is_certain or (drift_state.is_decayed and not _has_recovered(drift_state, observation, policy))
    drift_state = structs.replace(drift_state, is_decayed=decayed)
    obstacles = [
        *blocked_reasons(observation.data_findings),
        *_missing_training_days(drift_state, observation.day, policy),
        *_cooldown(drift_state, observation.day, policy),
    ]
    baseline = _baseline(drift_state, observation)
    retrain, day = is_certain and not obstacles, observation.day
    severity = RETRAIN if retrain else ALERT if decayed else WATCH
    losses = _loss_reasons(drift_state, observation, policy) or (
        _not_recovered(baseline, observation) if decayed else []
    )
    return drift_state, Assessment(
        state=DECAYED if decayed else SUSPECTED if drift or loss else STABLE,
        retrain=retrain,
        baseline=baseline.performance,
        baseline_missed=baseline.missed,
        signals=[
            *signals(day, DATA_DRIFT, WATCH, _drift_reasons(drift_state, observation, policy)),
            *signals(day, PERFORMANCE, severity, losses),
            *signals(day, RETRAINING_WAITS, WATCH, obstacles if decayed else []),
            *contract_signals(day, observation.data_findings),
            *null_share_signals(day, observation.null_share_changes),
            *action_signals(day, observation.action_share_changes),
            *not_compared_signals(day, observation.not_compared),
            *coverage_signals(day, observation.label_coverage),
        ],
    )


def after_retraining(drift_state: DriftState, day: date, *, promoted: bool) -> DriftState:
    """Return the state after a retraining of `day` was judged; may be called before or after `assess` of that day."""
    return structs.replace(drift_state, last_retraining=PastRetraining(day=day, promoted=promoted))


def _next_state(drift_state: DriftState, observation: DayObservation, policy: DriftPolicy) -> DriftState:
    if drift_state.champion_version != observation.champion_version:
        drift_state = DriftState(
            champion_version=observation.champion_version, last_retraining=drift_state.last_retraining
        )
    if _is_sufficient(observation, policy):
        drift_state = structs.replace(
            drift_state,
            first_performance=drift_state.first_performance or observation.performance,
            first_missed=drift_state.first_missed or observation.missed,
        )

    def count(days: int, threshold: EvidenceThreshold) -> int:
        return days + 1 if any(_losses(drift_state, observation, threshold, policy)) else 0

    return structs.replace(
        drift_state,
        days_of_loss=count(drift_state.days_of_loss, policy.with_drift),
        days_of_large_loss=count(drift_state.days_of_large_loss, policy.without_drift),
        **_drift_days(drift_state, observation, policy),
    )


def _has_recovered(drift_state: DriftState, observation: DayObservation, policy: DriftPolicy) -> bool:
    """Whether neither measure has the size of a loss any more, however certain it is."""
    uncertain = structs.replace(policy.with_drift, standard_errors=-inf, missed_standard_errors=-inf)
    return _is_sufficient(observation, policy) and not any(_losses(drift_state, observation, uncertain, policy))


def _is_sufficient(observation: DayObservation, policy: DriftPolicy) -> bool:
    return observation.performance is not None and observation.performance.frauds >= policy.minimum_frauds


def _baseline(drift_state: DriftState, observation: DayObservation) -> JudgedMeasures:
    return JudgedMeasures(
        performance=observation.judged_performance or drift_state.first_performance,
        missed=observation.judged_missed or drift_state.first_missed,
    )


def _drift_days(drift_state: DriftState, observation: DayObservation, policy: DriftPolicy) -> dict[str, date]:
    if observation.drift_share < policy.drift_share:
        return {}
    if drift_state.drift_since is not None and _drift_is_recent(drift_state, observation.day, policy):
        return {"last_drift": observation.day}
    return {"last_drift": observation.day, "drift_since": observation.day}


class _Losses(NamedTuple):
    """Which measures have reached a threshold."""

    of_precision: bool
    by_missed_frauds: bool


def _losses(
    drift_state: DriftState, observation: DayObservation, threshold: EvidenceThreshold, policy: DriftPolicy
) -> _Losses:
    if not _is_sufficient(observation, policy):
        return _Losses(of_precision=False, by_missed_frauds=False)
    baseline = _baseline(drift_state, observation)
    return _Losses(
        of_precision=_has_lost(baseline.performance, observation.performance, threshold, policy),
        by_missed_frauds=_misses_more(baseline.missed, observation.missed, threshold, policy),
    )


def _has_lost(
    baseline: MeasuredPerformance | None,
    current: MeasuredPerformance | None,
    threshold: EvidenceThreshold,
    policy: DriftPolicy,
) -> bool:
    if baseline is None or current is None:
        return False
    errors = standard_errors_lost(baseline, current, policy.design_effect)
    return relative_loss(baseline, current) >= threshold.loss and errors >= threshold.standard_errors


def _misses_more(
    baseline: MissedFrauds | None, current: MissedFrauds | None, threshold: EvidenceThreshold, policy: DriftPolicy
) -> bool:
    if baseline is None or current is None:
        return False
    errors = standard_errors_risen(baseline, current, policy.missed_design_effect)
    return rate_ratio(baseline, current) >= threshold.missed_ratio and errors >= threshold.missed_standard_errors


def _drift_is_recent(drift_state: DriftState, day: date, policy: DriftPolicy) -> bool:
    return drift_state.last_drift is not None and day - drift_state.last_drift < timedelta(
        days=policy.drift_memory_days
    )


def _missing_training_days(drift_state: DriftState, day: date, policy: DriftPolicy) -> list[str]:
    required = policy.judge_days + policy.new_training_days
    if drift_state.days_of_loss < required:
        return [f"retraining waits for {plural(required, 'day')} of loss in a row"]
    newest_training_day = newest_mature_day(day, policy.maturity_days) - timedelta(days=policy.judge_days)
    since = drift_state.drift_since
    if _drift_is_recent(drift_state, day, policy) and since is not None and newest_training_day < since:
        return [f"retraining waits until {since}, the first day of the drift, is among the training days"]
    return []


def _cooldown(drift_state: DriftState, day: date, policy: DriftPolicy) -> list[str]:
    last = drift_state.last_retraining
    if last is None or last.day >= day:  # a retraining of this day follows from it, also if it is assessed again
        return []
    days = policy.cooldown_days_after_promotion if last.promoted else policy.cooldown_days_after_refusal
    until = last.day + timedelta(days=days)
    verdict = "promoted" if last.promoted else "refused"
    return [f"no retraining before {until}: the one of {last.day} was {verdict}"] if day < until else []


def _drift_reasons(drift_state: DriftState, observation: DayObservation, policy: DriftPolicy) -> list[str]:
    share = observation.drift_share
    if share >= policy.drift_share:
        furthest = ", ".join(observation.drifted_features[:5])
        return [f"{share:.0%} of the features have drifted, threshold {policy.drift_share:.0%}: {furthest}"]
    if _drift_is_recent(drift_state, observation.day, policy):
        return [
            f"the features drifted on {drift_state.last_drift}, less than {plural(policy.drift_memory_days, 'day')} ago"
        ]
    return []


def _loss_reasons(drift_state: DriftState, observation: DayObservation, policy: DriftPolicy) -> list[str]:
    reached = _losses(drift_state, observation, policy.with_drift, policy)
    baseline, lasting = (
        _baseline(drift_state, observation),
        f"{plural(drift_state.days_of_loss, 'day')} of loss in a row",
    )
    reasons = []
    if reached.of_precision and baseline.performance and observation.performance:
        before, now = baseline.performance, observation.performance
        errors = standard_errors_lost(before, now, policy.design_effect)
        reasons.append(
            f"average precision {now.average_precision:.3f} over {plural(now.frauds, 'matured fraud')}, baseline "
            f"{before.average_precision:.3f}: {relative_loss(before, now):.0%} lost, {errors:.1f} standard errors, "
            f"{lasting}"
        )
    if reached.by_missed_frauds and baseline.missed and observation.missed:
        missed_before, missed = baseline.missed, observation.missed
        errors = standard_errors_risen(missed_before, missed, policy.missed_design_effect)
        reasons.append(
            f"{_rate(missed)}, baseline {_rate(missed_before)}: {_times(rate_ratio(missed_before, missed))}"
            f"{errors:.1f} standard errors, {lasting}"
        )
    return reasons


def _not_recovered(baseline: JudgedMeasures, observation: DayObservation) -> list[str]:
    measured = []
    if baseline.performance and observation.performance:
        now, before = observation.performance, baseline.performance
        measured.append(
            f"average precision {now.average_precision:.3f} over {plural(now.frauds, 'matured fraud')}, baseline "
            f"{before.average_precision:.3f}"
        )
    if baseline.missed and observation.missed:
        measured.append(f"{_rate(observation.missed)}, baseline {_rate(baseline.missed)}")
    return [f"the champion has not recovered: {'; '.join(measured) or 'nothing can be measured'}"]


def _rate(missed: MissedFrauds) -> str:
    return f"{missed.per_10000:.1f} missed frauds per 10,000 decisions ({missed.frauds:.0f} in {missed.decisions:,})"


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times as many, " if isfinite(ratio) else ""
