"""The same days assessed without a signal; the days can be worked out by hand."""

from __future__ import annotations

from msgspec import structs

from cardwatch.drift.policy import DriftPolicy
from stress.ablation import VARIANTS, assess_again
from stress.outcome import MonitoredDay, WorldOutcome
from stress.scenarios import ONSET_DAY
from tests.unit.stress.test_report import QUIET

POLICY = DriftPolicy()


def world(precision: float, *, drift_share: float, before: float = 0.6, missed: int = 40) -> WorldOutcome:
    """A champion judged at 0.6 over 100 frauds, and 80 frauds in each measured week; from the onset on it is worse.

    Of 28,000 decisions it missed 40 frauds when it was judged, and misses `missed` from the onset on.
    """
    days = [
        MonitoredDay(
            day=day,
            average_precision=before if day < ONSET_DAY else precision,
            matured_frauds=80,
            missed_frauds=40 if day < ONSET_DAY else missed,
            matured_decisions=28_000,
            drift_share=0.0 if day < ONSET_DAY else drift_share,
            is_blocked=False,
            estimated_average_precision=None,
            estimate_of_matured=None,
        )
        for day in range(ONSET_DAY - 5, ONSET_DAY + 40)
    ]
    return structs.replace(QUIET, monitored=days)


def test_a_small_loss_is_decay_only_beside_a_drift() -> None:
    # A loss of half is 2.3 standard errors: sqrt(3.3 * (0.6 * 0.4 / 100 + 0.3 * 0.7 / 80)) = 0.129. With a drift two
    # days of it are enough; alone it would have to have 3.5 standard errors.
    small = world(0.3, drift_share=0.2)
    assert assess_again(small, POLICY, VARIANTS["all signals"]).decayed_on == ONSET_DAY + 1
    assert assess_again(small, POLICY, VARIANTS["without data drift"]).decayed_on is None
    assert assess_again(small, POLICY, VARIANTS["without labels"]).decayed_on is None


def test_a_large_loss_needs_neither_drift_nor_a_second_day() -> None:
    # 0.5 / sqrt(3.3 * (0.6 * 0.4 / 100 + 0.1 * 0.9 / 80)) = 4.6 standard errors
    large = world(0.1, drift_share=0.2)
    assert assess_again(large, POLICY, VARIANTS["all signals"]).decayed_on == ONSET_DAY
    assert assess_again(large, POLICY, VARIANTS["without data drift"]).decayed_on == ONSET_DAY


def test_a_retraining_is_asked_for_when_the_loss_has_lasted_long_enough() -> None:
    lasting = POLICY.judge_days + POLICY.new_training_days
    large = assess_again(world(0.1, drift_share=0.0), POLICY, VARIANTS["all signals"])
    assert large.retrain_on == ONSET_DAY + lasting - 1


def test_decay_before_the_onset_is_counted_apart() -> None:
    always = world(0.1, drift_share=0.0, before=0.1)
    found = assess_again(always, POLICY, VARIANTS["all signals"])
    assert (found.early, found.decayed_on) == (5, ONSET_DAY)


def test_missed_frauds_alone_show_the_loss_of_a_model_that_ranks_as_before() -> None:
    more = world(0.6, drift_share=0.0, missed=160)
    found = {name: assess_again(more, POLICY, change).decayed_on for name, change in VARIANTS.items()}
    day = ONSET_DAY + POLICY.without_drift.days - 1
    assert found == {
        "all signals": day,
        "without data drift": day,
        "without missed frauds": None,
        "without average precision": day,
        "without labels": None,
    }
    ranks_worse = assess_again(world(0.0, drift_share=0.0), POLICY, VARIANTS["without average precision"])
    assert ranks_worse.decayed_on is None
