"""Whether the policy's error rates fit its cooldowns."""

from msgspec.structs import replace

from cardwatch.drift.policy import DriftPolicy
from cardwatch.promotion.policy import PromotionPolicy, contradictions, trials_per_month


def test_the_defaults_fit_together() -> None:
    # One retraining on the days 0, 7, 14, 21 and 28: five with 1 % each are 5 % together.
    assert trials_per_month(DriftPolicy()) == 5
    assert contradictions(DriftPolicy(), PromotionPolicy()) == []


def test_more_trials_a_month_than_the_error_rate_allows_are_named_with_the_remedy() -> None:
    [found] = contradictions(replace(DriftPolicy(), cooldown_days_after_refusal=3), PromotionPolicy())

    assert found.startswith("the cooldowns allow 10 retrainings in 30 days, each with an error rate of 0.01: together")
    assert "Lengthen drift.cooldown_days_after_refusal or lower promotion.error_rate_per_trial" in found


def test_judged_days_must_be_whole_weeks() -> None:
    for days in (3, 10):
        [found] = contradictions(replace(DriftPolicy(), judge_days=days), PromotionPolicy())
        assert found.startswith(f"drift.judge_days is {days}, and must be whole weeks")
    assert not contradictions(replace(DriftPolicy(), judge_days=14), PromotionPolicy())


def test_a_model_fitted_again_needs_enough_new_days_before_the_next_challenger() -> None:
    hasty = replace(DriftPolicy(), cooldown_days_after_promotion=6)
    lenient = PromotionPolicy(error_rate_per_month=0.5)
    [found] = contradictions(hasty, lenient)
    assert found.startswith("drift.cooldown_days_after_promotion is 6, and must be at least promotion.minimum_days (7)")
    assert not contradictions(hasty, replace(lenient, refit=False))
    assert not contradictions(replace(hasty, cooldown_days_after_promotion=7), lenient)
