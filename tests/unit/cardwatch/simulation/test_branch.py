"""Branches of a simulation: the same past, another future."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from cardwatch.simulation.faults import UnitChange
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import SelectionSettings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import SimulatedDay, Simulation
from cardwatch.simulation.timeline import NewTypology

CALM = SimulationSettings(seed=4, cards=300, fraud_share=0.02)
ATTACK = NewTypology(name="relay attack", from_day=5, is_harmful=True, typology="relay_attack", share=0.01)
FAULT = UnitChange(name="unit", from_day=6, is_harmful=True, ratio=0.01)
CHANGED = structs.replace(CALM, timeline=(ATTACK, FAULT))


def days_of(simulation: Simulation, numbers: range) -> list[SimulatedDay]:
    return [simulation.simulate_day(number) for number in numbers]


def assert_same(some: list[SimulatedDay], others: list[SimulatedDay]) -> None:
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.transactions, other.transactions)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_branch_goes_on_as_a_simulation_of_its_settings_would_from_the_beginning() -> None:
    trunk, whole = Simulation(CALM), Simulation(CHANGED)
    days_of(trunk, range(5))
    days_of(whole, range(5))
    assert_same(days_of(trunk.branch(CHANGED), range(5, 9)), days_of(whole, range(5, 9)))


def test_the_trunk_does_not_notice_its_branches() -> None:
    trunk, alone = Simulation(CALM), Simulation(CALM)
    days_of(trunk, range(5))
    days_of(alone, range(5))
    days_of(trunk.branch(CHANGED), range(5, 9))
    assert_same(days_of(trunk, range(5, 9)), days_of(alone, range(5, 9)))


def test_labels_of_decided_days_may_change_in_a_branch() -> None:
    selective = structs.replace(CALM, labels=LabelSettings(selection=SelectionSettings(confirmed_share=0.0)))
    trunk = Simulation(CALM)
    days_of(trunk, range(2))
    branch = trunk.branch(selective)
    count = len(branch.begin_day(2))
    reports = branch.end_day(np.full(count, 2, np.int8)).reports  # everything is declined, and nobody says anything
    assert len(reports) == 0


@pytest.mark.parametrize(
    "settings",
    [
        structs.replace(CALM, seed=5),
        structs.replace(CALM, cards=301),
        structs.replace(CALM, reacting_fraudsters=True),
    ],
)
def test_other_people_are_no_branch(settings: SimulationSettings) -> None:
    with pytest.raises(ValueError, match="may only differ in"):
        Simulation(CALM).branch(settings)


def test_what_has_begun_can_neither_be_added_nor_taken_back() -> None:
    trunk, changed = Simulation(CALM), Simulation(CHANGED)
    days_of(trunk, range(6))
    days_of(changed, range(6))
    with pytest.raises(ValueError, match="before day 6"):
        trunk.branch(CHANGED)
    with pytest.raises(ValueError, match="before day 6"):
        changed.branch(CALM)
    later = structs.replace(CALM, timeline=(ATTACK,))
    assert len(changed.branch(later).simulate_day(6).transactions) > 100  # the fault had not begun


def test_a_day_must_end_before_a_branch() -> None:
    trunk = Simulation(CALM)
    trunk.begin_day(0)
    with pytest.raises(ValueError, match="day 0 has not ended"):
        trunk.branch(CHANGED)


def test_a_branch_may_end_what_began_before_from_the_next_day_on() -> None:
    endless = structs.replace(CALM, timeline=(structs.replace(ATTACK, from_day=2),))
    ended = structs.replace(CALM, timeline=(structs.replace(ATTACK, from_day=2, until_day=5),))
    trunk, whole = Simulation(endless), Simulation(ended)
    days_of(trunk, range(5))
    days_of(whole, range(5))
    assert_same(days_of(trunk.branch(ended), range(5, 9)), days_of(whole, range(5, 9)))


def test_a_branch_cannot_end_what_began_before_on_a_day_that_has_passed() -> None:
    endless = structs.replace(CALM, timeline=(structs.replace(ATTACK, from_day=2),))
    ended = structs.replace(CALM, timeline=(structs.replace(ATTACK, from_day=2, until_day=4),))
    trunk = Simulation(endless)
    days_of(trunk, range(5))
    with pytest.raises(ValueError, match="cannot change what began before day 5"):
        trunk.branch(ended)
