"""The policy of the promotion gate, and whether its error rates fit the policy that decides on retrainings."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Final

from msgspec import Meta, Struct

from cardwatch.drift.policy import DriftPolicy

MONTH_DAYS: Final = 30
WEEK_DAYS: Final = 7

_ErrorRate = Annotated[float, Meta(gt=0, le=0.5)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Ratio = Annotated[float, Meta(ge=1)]


class PromotionPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requirements of the gate. A first champion has no predecessor: what compares with one does not apply to it.

    Savings are shares of the champion's cost, margins of slices shares of the cost of approving everything.
    """

    minimum_rows: int = 1_000
    minimum_frauds: int = 10
    minimum_days: int = WEEK_DAYS
    """Judged days with rows. A week contains every weekday."""
    minimum_average_precision: _Share = 0.1
    maximum_average_precision: _Share = 0.99
    """Plausibility ceiling: a higher average precision is taken for leakage of the labels into the features."""
    calibration_factor: _Ratio = 3.0
    """With k, the expected frauds may be between 1/k and k times the frauds that occurred."""
    minimum_gain: float = 0.05
    """What the lower confidence bound of the saving must exceed. Models of two training seeds differ by less."""
    error_rate_per_trial: _ErrorRate = 0.01
    """Probability to promote a challenger whose saving is not above `minimum_gain`."""
    error_rate_per_month: _ErrorRate = 0.05
    """The same within 30 days, over all trials that the cooldowns allow."""
    minimum_differing_cards: int = 10
    """Cards whose cost differs between the models: fewer do not show how a saving scatters."""
    minimum_gain_over_baselines: float = 0.05
    """Share of each baseline's cost that the challenger must save: the upper confidence bound must reach it."""
    baseline_error_rate: _ErrorRate = 0.05
    """Probability to refuse a challenger that saves as much over one baseline."""
    slice_minimum_frauds: int = 100
    """Frauds from which a slice is a requirement. Smaller slices are reported."""
    slice_margin: float = 0.1
    """How much more a slice may cost, as a share of the cost of approving everything in it."""
    slice_error_rate: _ErrorRate = 0.05
    """Probability to promote a challenger that is worse by more than the margin in at least one slice."""
    minimum_alert_precision: _Share = 0.05
    """Share of the alerts (challenges and declines) that must be fraud: 0.05 are 19 false alerts for each true one."""
    maximum_alerts_per_day: Annotated[float, Meta(gt=0)] | None = None
    """Alerts that investigators can check. None: no limit."""
    maximum_latency_ratio: _Ratio = 3.0
    """Time to score a row, over the champion's. A row that takes at most `free_latency_us` always passes."""
    free_latency_us: float = 50.0
    refit: bool = True
    """Whether a promoted challenger is fitted again with the judged days, see `cardwatch.promotion.refit`."""
    refit_margin: _Share = 0.05
    """How much more the model fitted again may cost on the judged rows, as a share of the judged one's cost."""


REMOVED_FIELDS: Final = dict.fromkeys(
    ("minimum_average_precision_ratio", "minimum_recall_ratio", "maximum_cost_ratio"),
    "the saving is tested now: remove the key, and see minimum_gain, error_rate_per_trial and slice_margin",
)
"""Keys of former policy files, and what to do instead. They are refused: no value of today means the same."""


def trials_per_month(drift: DriftPolicy) -> int:
    """Return how many retrainings the cooldowns allow in 30 days at most."""
    return ceil(MONTH_DAYS / max(1, min(drift.cooldown_days_after_refusal, drift.cooldown_days_after_promotion)))


def contradictions(drift: DriftPolicy, promotion: PromotionPolicy) -> list[str]:
    """Return a sentence with the remedy for each setting that defeats the gate; empty if there is none.

    The rates of several trials add up at most (Bonferroni), however much their judged days overlap.
    """
    found = []
    if drift.judge_days < WEEK_DAYS or drift.judge_days % WEEK_DAYS:
        found.append(
            f"drift.judge_days is {drift.judge_days}, and must be whole weeks (7, 14, ...): fraud and spending follow "
            "the days of the week"
        )
    if promotion.refit and drift.cooldown_days_after_promotion < promotion.minimum_days:
        found.append(
            f"drift.cooldown_days_after_promotion is {drift.cooldown_days_after_promotion}, and must be at least "
            f"promotion.minimum_days ({promotion.minimum_days}): a promoted model is fitted again with its judged "
            "days, so the next challenger can be judged on later ones only. Lengthen it, or set promotion.refit = false"
        )
    trials = trials_per_month(drift)
    a_month = trials * promotion.error_rate_per_trial
    if a_month > promotion.error_rate_per_month + 1e-9:
        found.append(
            f"the cooldowns allow {trials} retrainings in {MONTH_DAYS} days, each with an error rate of "
            f"{promotion.error_rate_per_trial:g}: together {a_month:.3g}, more than promotion.error_rate_per_month of "
            f"{promotion.error_rate_per_month:g}. Lengthen drift.cooldown_days_after_refusal or lower "
            "promotion.error_rate_per_trial"
        )
    return found
