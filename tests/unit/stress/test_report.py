"""The goals of a stress test, from outcomes whose numbers can be worked out by hand."""

from __future__ import annotations

import pytest
from msgspec import structs

from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import JudgedMeasures, MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from stress.outcome import Regained, Retraining, WorldOutcome
from stress.report import Goal, Proportion, goals, report, spread
from stress.scenarios import ONSET_DAY

MATURITY = 5
QUIET = WorldOutcome(
    scenario="calm",
    seed=1,
    found_on=None,
    found_columns=[],
    detected_on=None,
    alarms_before=[],
    quarantined_before=0,
    quarantined_after=0,
    retrainings=[],
    cost_ratio=1.0,
    regained=None,
    judged=JudgedMeasures(
        performance=MeasuredPerformance(average_precision=0.6, frauds=100),
        missed=MissedFrauds(frauds=40, decisions=28_000),
    ),
    monitored=[],
    cpu_seconds=20.0,
)


def world(scenario: str, **values: object) -> WorldOutcome:
    return structs.replace(QUIET, scenario=scenario, **values)


def retraining(day: int, champion: float, challenger: float, *, promoted: bool = True) -> Retraining:
    return Retraining(
        day=day, promoted=promoted, reasons=[], champion_cost_minor=champion, challenger_cost_minor=challenger
    )


def goal(measure: str, *outcomes: WorldOutcome) -> Goal:
    return next(each for each in goals(outcomes, MATURITY) if each.measure.startswith(measure))


def test_a_promotion_is_harmful_if_it_costs_more_than_the_margin_allows() -> None:
    costs = [(100.0, 105.0, True), (100.0, 106.0, True), (100.0, 106.0, False), (100.0, 50.0, True)]
    harmful = [retraining(80, old, new, promoted=promoted).is_harmful for old, new, promoted in costs]
    assert harmful == [False, True, False, False]
    failed = Retraining(day=80, promoted=False, reasons=[], champion_cost_minor=1.0, challenger_cost_minor=None)
    assert not failed.is_harmful


def test_one_harmful_promotion_misses_the_goal() -> None:
    good, bad = retraining(90, 100.0, 60.0), retraining(110, 60.0, 90.0)
    assert goal("worlds with a harmful", world("relay", retrainings=[good])).reached is True
    found = goal("worlds with a harmful", world("relay", retrainings=[good, bad]), QUIET)
    assert (found.reached, found.seen[:6]) == (False, "1 of 2")


def test_a_fault_must_not_be_trained_on_and_is_found_within_a_day() -> None:
    prompt, late = world("clock", found_on=ONSET_DAY + 1), world("clock", found_on=ONSET_DAY + 2)
    unseen = world("clock", retrainings=[retraining(90, 1.0, 1.0, promoted=False)])
    found = goal("faults of a watched column", prompt, late, unseen)
    assert (found.seen.split(" (")[0], found.reached) == ("1 of 3", False)
    assert goal("faults of a watched column", prompt).reached is True
    assert goal("worlds with a fault", prompt, late).reached is True
    assert goal("worlds with a fault", prompt, unseen).reached is False


def test_a_source_of_labels_that_stops_has_no_column_and_is_counted_apart() -> None:
    silent = world("no-labels", found_on=ONSET_DAY + 2)
    assert goal("faults of a watched column", silent).reached is None
    found = goal("sources of labels", silent, world("no-labels", found_on=None))
    assert (found.seen.split(" (")[0], found.seen.split(": ")[1], found.reached) == ("1 of 2", "2 (2 to 2)", False)


def test_days_before_the_onset_count_once_for_each_seed() -> None:
    # Two calm worlds of one seed share 14 days: 14 + 46 + 46 live days. One quarantined day is more than 1 in 365.
    worlds = [world("calm", quarantined_before=1), world("sales", quarantined_before=1)]
    found = goal("calm or harmless days", *worlds)
    assert (found.seen.split(" (")[0], found.reached) == ("1 of 106", False)
    assert goal("calm or harmless days", world("calm"), world("sales")).reached is True


def test_the_delay_counts_from_the_first_matured_labels() -> None:
    detected = [world("relay", cost_ratio=2.0, detected_on=ONSET_DAY + MATURITY + delay) for delay in (1, 3, 9)]
    delay = goal("its delay", *detected)
    assert (delay.seen, delay.reached) == ("3 (1 to 9)", True)
    assert goal("drift that raises", *detected).reached is True
    missed = world("relay", cost_ratio=2.0)
    assert goal("drift that raises", *detected, missed).seen.startswith("3 of 4")


def test_a_drift_that_costs_little_need_not_be_found() -> None:
    assert goal("drift that raises", world("relay", cost_ratio=1.4)).reached is None


def test_false_retrainings_are_those_where_nothing_became_dearer() -> None:
    # 8 worlds of 8 seeds: 8 * 46 + 8 * 14 = 480 days, 1.3 years.
    quiet = [structs.replace(QUIET, seed=seed) for seed in range(7)]
    one = world("sales", seed=7, retrainings=[retraining(100, 1.0, 1.0, promoted=False)])
    two = structs.replace(one, retrainings=one.retrainings * 2)
    assert goal("retrainings in 12 months", *quiet, one).reached is True
    assert goal("retrainings in 12 months", *quiet, two).seen == "1.52 (2 in 1.3 years)"
    assert goal("retrainings in 12 months", *quiet, two).reached is False
    dear = structs.replace(two, cost_ratio=1.8)
    assert goal("retrainings in 12 months", *quiet, dear).seen.startswith("0.00")


def test_what_is_regained_is_a_share_of_what_hindsight_would_save() -> None:
    assert Regained(first=200.0, served=110.0, hindsight=100.0).share == pytest.approx(0.9)
    assert Regained(first=100.0, served=110.0, hindsight=120.0).share is None
    worlds = [
        world("relay", cost_ratio=2.0, regained=Regained(first=200.0, served=served, hindsight=100.0))
        for served in (100.0, 115.0, 200.0)
    ]
    found = goal("saved", *worlds)
    assert (found.seen, found.reached) == ("85% (0% to 100%)", False)


def test_without_worlds_nothing_is_said_about_a_goal() -> None:
    assert [each.reached for each in goals([], MATURITY)] == [None] * len(goals([], MATURITY))
    assert spread([], "{:.0f}") == "none"
    assert str(Proportion(0, 0)) == "no world"


def test_the_tables_have_a_row_for_each_kind_of_world_that_was_run() -> None:
    text = report([QUIET, world("relay", detected_on=ONSET_DAY + 8, cost_ratio=2.0)], DriftPolicy())
    rows = text.splitlines()
    assert "| calm | nothing | 1 | 1.00 | 0 | 0 | 0 | 0 | 0 |  | 20 |" in rows
    assert "| relay attack | retrain | 1 | 2.00 | 0 | 1: 8 (8 to 8) | 0 | 0 | 0 |  | 20 |" in rows
    widths = {line.count("|") for line in rows if line.startswith("|")}
    assert widths == {5, 12}
