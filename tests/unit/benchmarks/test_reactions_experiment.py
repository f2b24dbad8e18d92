"""The experiment with fraudsters that react: decisions within the budget, and figures by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.reactions.decided_world import (
    REACTING,
    DecidedTransactions,
    DecidedWorld,
    known_frauds,
    outcome_of,
    threshold_of,
)
from benchmarks.reactions.experiment import ARMS, Arm, Course, per_day, ratio
from benchmarks.reactions.results import ReactionResults, markdown
from cardwatch.simulation.label_array import LABEL
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.transaction_array import TRANSACTION, Typology

BUDGET = 0.02
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("budget", "threshold"),
    [(0.2, 7.0), (0.29, 7.0), (0.0, 9.0), (0.5, 4.0)],  # 8 and 9 are above 7: two of ten
)
def test_the_threshold_is_exceeded_by_the_share_of_the_budget(budget: float, threshold: float) -> None:
    margins = np.random.default_rng(0).permutation(np.arange(10, dtype=np.float32))
    assert threshold_of(margins, budget) == threshold


def test_equal_scores_never_exceed_the_budget() -> None:
    margins = np.array([1.0, 5.0, 5.0, 5.0], np.float32)
    assert np.sum(margins > threshold_of(margins, 0.5)) == 0


def test_a_fraud_is_known_by_the_newest_label_of_the_moment() -> None:
    labels = np.zeros(4, LABEL)
    labels["number"] = [2, 0, 2, 3]
    labels["observed_at_ms"] = [10, 20, 30, 40]
    labels["is_fraud"] = [True, True, False, True]
    assert known_frauds(labels, 5, 30).tolist() == [True, False, True, False, False]
    assert known_frauds(labels, 5, 31).tolist() == [True, False, False, False, False]
    assert not known_frauds(labels, 5, 10).any()


def test_the_gain_is_the_approved_amount_of_those_who_can_react() -> None:
    transactions = np.zeros(5, TRANSACTION)
    transactions["amount_minor"] = [1, 20, 300, 4_000, 50_000]
    transactions["typology"] = [
        Typology.GENUINE,
        Typology.SKIMMING,
        Typology.BUST_OUT,
        Typology.RELAY_ATTACK,
        Typology.CARD_TESTING,
    ]
    outcome = outcome_of(transactions, np.array([True, False, False, True, False]))
    assert outcome == DecidedTransactions(
        transactions=5, declined=2, frauds=3, declined_frauds=1, attempted_minor=54_020, approved_minor=50_020
    )


def looped() -> DecidedWorld:
    settings = SimulationSettings(seed=3, cards=100, merchants=200, fraud_share=0.05, reacting_fraudsters=True)
    return DecidedWorld(settings, budget=BUDGET, tells_fraudsters=True)


@pytest.fixture(scope="module")
def deciding() -> DecidedWorld:
    loop = looped()
    assert all(loop.run_day().declined == 0 for _ in range(16))
    loop.train(2, 14)
    return loop


def test_a_detector_declines_about_the_budget_and_mostly_fraud(deciding: DecidedWorld) -> None:
    loop = deciding.fork()
    days = [loop.run_day() for _ in range(14)]
    declined, transactions = (sum(getattr(day, name) for day in days) for name in ("declined", "transactions"))
    assert 0.25 * BUDGET < declined / transactions < 2.5 * BUDGET
    found = sum(day.declined_frauds for day in days) / declined
    assert found > 3 * sum(day.frauds for day in days) / transactions


def test_copies_of_a_loop_go_on_alike_and_do_not_disturb_each_other(deciding: DecidedWorld) -> None:
    one = deciding.fork()
    first = [one.run_day() for _ in range(5)]
    one.train(5, 17)
    one.run_day()
    other = deciding.fork()
    assert [other.run_day() for _ in range(5)] == first
    again = looped()
    for _ in range(16):
        again.run_day()
    again.train(2, 14)
    assert [again.run_day() for _ in range(5)] == first


@pytest.mark.parametrize("tells_fraudsters", [True, False])
def test_declines_reach_fraudsters_only_if_they_are_told(deciding: DecidedWorld, tells_fraudsters: bool) -> None:
    world = deciding.fork(tells_fraudsters=tells_fraudsters)
    assert sum(world.run_day().declined_frauds for _ in range(5)) > 0
    groups = world._simulation._groups
    assert groups is not None
    found = [groups.reacting(typology, number) for typology in REACTING for number in range(5)]
    assert any(found) == tells_fraudsters


def test_ratios_are_those_of_the_same_worlds() -> None:
    paired = ratio([2.0, 8.0], [1.0, 4.0])
    assert (paired.value, paired.low, paired.high) == pytest.approx((2.0, 2.0, 2.0))


def courses(seed: int, approved_minor: dict[Arm, int]) -> list[Course]:
    return [
        Course(
            seed=seed,
            arm=arm,
            weeks=[
                DecidedTransactions(
                    transactions=7_000,
                    declined=7,
                    frauds=28,
                    declined_frauds=7,
                    attempted_minor=0,
                    approved_minor=7 * minor if week < 3 else 14 * minor,
                )
                for week in range(6)
            ],
        )
        for arm, minor in approved_minor.items()
    ]


def test_the_documentation_shows_the_measured_figures() -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    content = (ROOT / "benchmarks" / "results" / "reactions.json").read_bytes()
    for results in msgspec.json.decode(content, type=list[ReactionResults]):
        assert {course.arm for course in results.courses} == set(ARMS)
        assert markdown(results) in page


def test_the_table_compares_both_kinds_of_fraudsters_in_the_same_weeks() -> None:
    amounts = {arm: 10_000 * (2 if arm.reacts else 1) for arm in ARMS}
    made = courses(2, amounts) + courses(1, amounts)
    assert per_day(made, ARMS[0], slice(2, 4), "approved_minor") == [15_000.0, 15_000.0]
    lines = markdown(ReactionResults(cards=1, fraud_share=0.1, budget=0.001, courses=made)).splitlines()
    assert lines[2] == (
        "| before the retraining | 100 (100 to 100) | 200 (200 to 200) | 2.00 (2.00 to 2.00) |"
        " 0.250 (0.250 to 0.250) | 0.250 (0.250 to 0.250) |"
    )
    assert lines[3].startswith("| after it | 200 (200 to 200) | 400 (400 to 400) | 2.00")
    assert lines[4].startswith("| the same weeks without it | 200 (200 to 200)")
