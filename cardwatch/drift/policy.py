"""Drift policy: the settings that define when a model has decayed and when it is retrained."""

from __future__ import annotations

from msgspec import Struct

from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS


class EvidenceThreshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Minimum evidence of a loss.

    `loss` of average precision is relative to the baseline (0..1), `standard_errors` is its size in standard errors.
    `missed_ratio` is how many times the baseline's rate of missed frauds the rate is, `missed_standard_errors` the size
    of this rise in standard errors. A day on which both numbers of a measure are reached, of whichever of the two, is a
    day of loss. `days` is the number of consecutive days of loss.
    """

    loss: float
    standard_errors: float
    days: int
    missed_ratio: float = 1.5
    missed_standard_errors: float = 2.6


class DriftPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a model has decayed, and when retraining can help.

    Labels of an event day are complete `maturity_days` after it. Performance, which is average precision and the rate
    of missed frauds, is measured over the newest `performance_days` mature days, drift over the newest `drift_days` (a
    week, so that every weekday has equal weight). Data drift means that at least `drift_share` of the watched features
    have drifted. A drift stays relevant for `drift_memory_days`, because its loss becomes visible later. With fewer
    than `minimum_frauds` mature frauds performance is not assessed. `design_effect` and `missed_design_effect` are how
    many times the variance of average precision and of the count of missed frauds exceeds that of independent frauds.
    `with_drift` is the evidence of a loss that is required while a drift is relevant, `without_drift` the evidence
    required otherwise.

    A challenger is trained on the days before the newest `judge_days` mature ones, on which it is evaluated. If it were
    trained on the first day of a loss, its training data would predate the change. Therefore retraining requires
    `judge_days + new_training_days` consecutive days of loss, and the first day of a drift among the training days.
    After a promotion there is no retraining for `cooldown_days_after_promotion`, after a refusal for
    `cooldown_days_after_refusal`.
    """

    maturity_days: int = DEFAULT_MATURITY_DAYS
    performance_days: int = 7
    drift_days: int = 7
    drift_share: float = 0.15
    drift_memory_days: int = 7
    minimum_frauds: int = 30
    design_effect: float = 3.3
    missed_design_effect: float = 2.2
    with_drift: EvidenceThreshold = EvidenceThreshold(loss=0.1, standard_errors=2.0, days=2, missed_standard_errors=1.6)
    without_drift: EvidenceThreshold = EvidenceThreshold(loss=0.2, standard_errors=3.5, days=1)
    judge_days: int = 7
    new_training_days: int = 4
    cooldown_days_after_promotion: int = 10
    cooldown_days_after_refusal: int = 7


RENAMED_FIELDS = {
    "learnable_days": "new_training_days",
    "days_after_promotion": "cooldown_days_after_promotion",
    "days_after_refusal": "cooldown_days_after_refusal",
}
"""Old to new names of fields. Policy files with an old name are accepted for one version, with a warning."""
