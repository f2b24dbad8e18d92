"""The loop of a stress test: the parts of the running system around one small world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec import structs

from adapters.runtime.policy_file import Policies
from cardwatch.progress import DayMonitored, RetrainingEnded, RetrainingStarted
from cardwatch.simulation.faults import UnitChange
from cardwatch.simulation.settings import SimulationSettings
from services.monitor.champions import judged_measures
from stress.harm import HeldWorld
from stress.loop import MonitoredLoop

HISTORY_DAYS = 42
CALM = SimulationSettings(seed=3, cards=500, fraud_share=0.01)
FAULT = UnitChange(name="unit", from_day=HISTORY_DAYS + 2, is_harmful=True, ratio=0.01)
FAULTY = structs.replace(CALM, timeline=(FAULT,))


@pytest.fixture(scope="module")
def shared() -> MonitoredLoop:
    """Two live days after the first champion was trained."""
    loop = MonitoredLoop(CALM, Policies())
    loop.train_first_champion(HISTORY_DAYS)
    for _ in range(2):
        loop.run_live_day()
    return loop


def monitored(loop: MonitoredLoop) -> Sequence[DayMonitored]:
    return [record for record in loop.progress if isinstance(record, DayMonitored)]


def test_every_live_day_is_monitored_with_the_champion_that_decided_it(shared: MonitoredLoop) -> None:
    assert [record.day for record in monitored(shared)] == [day.day for day in shared.world.days[HISTORY_DAYS:]]
    assert {record.champion_version for record in monitored(shared)} == {"1"}
    decisions = shared.world.archive.decisions(shared.world.days[0].day, shared.world.days[-1].day)
    assert set(decisions["model_version"].to_pylist()) == {"1"}
    assert len(set(decisions["occurred_at"].to_numpy().astype("datetime64[D]"))) == 2


def test_the_first_champion_knows_how_much_fraud_it_misses_among_the_judged_transactions(shared: MonitoredLoop) -> None:
    measures = judged_measures(shared.registry.champion())
    assert measures.missed is not None and measures.performance is not None
    # Of 42 days the newest 5 are not mature, and the 7 before them are judged.
    judged = shared.world.days[HISTORY_DAYS - 12 : HISTORY_DAYS - 5]
    assert measures.missed.decisions == sum(int((~day.duplicates).sum()) for day in judged)
    assert 0 < measures.missed.frauds <= measures.performance.frauds


def test_a_fault_of_the_data_is_found_on_its_first_day_and_its_days_are_excluded(shared: MonitoredLoop) -> None:
    faulty, calm = shared.branch(FAULTY), shared.branch(CALM)
    for loop in (faulty, calm):
        loop.run_live_day()
    findings = {finding.column for finding in monitored(faulty)[-1].data_findings if finding.blocks}
    assert "amount_minor" in findings
    assert faulty.excluded_days == {faulty.world.days[-1].day}
    assert calm.excluded_days == frozenset()
    assert len(monitored(shared)) == 2  # branches leave the trunk as it was


def test_without_a_source_of_labels_none_arrives_in_any_branch(shared: MonitoredLoop) -> None:
    silent = shared.branch(CALM)
    silent.world.stop_labels()
    both = [shared.branch(CALM), silent.branch(CALM)]
    counts = []
    for loop in both:
        before = loop.world.archive.all_labels().num_rows
        loop.run_live_day()
        counts.append(loop.world.archive.all_labels().num_rows - before)
    assert counts[0] > 0
    assert counts[1] == 0


def test_a_retraining_is_judged_against_the_champion_and_leaves_excluded_days_out(shared: MonitoredLoop) -> None:
    loop = shared.branch(CALM)
    day = loop.world.days[-1].day
    excluded = [loop.world.days[20].day]
    ended = loop.retrain(RetrainingStarted(day=day, champion_version="1", reasons=["a test"], excluded_days=excluded))
    assert isinstance(ended, RetrainingEnded)
    assert ended.challenger_version == "2"
    version = loop.registry.version("2")
    assert version is not None
    assert version.tags["excluded_days"] == f'["{excluded[0]}"]'
    assert ended.promoted == (loop.registry.champion().version == "2")


def test_true_costs_are_those_of_true_amounts_also_where_the_data_are_wrong(shared: MonitoredLoop) -> None:
    first, until = FAULT.from_day, FAULT.from_day + 2
    worlds = {}
    for name, settings in (("calm", CALM), ("faulty", FAULTY)):
        world = HeldWorld(settings, 5)
        world.run_until(until, first_held_day=first)
        worlds[name] = world.rows()
    calm, faulty = worlds["calm"], worlds["faulty"]
    np.testing.assert_array_equal(calm.true_minor, faulty.true_minor)
    np.testing.assert_array_equal(calm.true_minor, calm.seen_minor)
    assert (faulty.seen_minor < faulty.true_minor).all()
    assert set(np.unique(calm.weight)) == {1.0, 10.0}
    policy = Policies().decision
    detector = shared.detector("1")
    # With amounts of a hundredth nothing is worth an alert, and the fraud costs what it costs.
    assert faulty.cost_minor(detector, policy, first, until) > calm.cost_minor(detector, policy, first, until)
