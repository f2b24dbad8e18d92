"""Events of a timeline that multiply the same number together."""

from __future__ import annotations

import numpy as np
import pytest

from cardwatch.errors import Misconfigured
from cardwatch.events import MAX_AMOUNT_MINOR
from cardwatch.simulation.combined_ratios import find_excess
from cardwatch.simulation.faults import UnitChange
from cardwatch.simulation.settings import SimulationSettings, WorldEvent
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.timeline import FraudPrevalence, Inflation, SpendingShift, regime_of


def shift(name: str, from_day: int, **fields: object) -> WorldEvent:
    return SpendingShift(**{"name": name, "from_day": from_day, "is_harmful": False, **fields})


def unit(name: str, from_day: int, ratio: float, **fields: object) -> WorldEvent:
    return UnitChange(**{"name": name, "from_day": from_day, "is_harmful": True, "ratio": ratio, **fields})


def prevalence(name: str, from_day: int, ratio: float) -> WorldEvent:
    return FraudPrevalence(name=name, from_day=from_day, is_harmful=False, ratio=ratio)


@pytest.mark.parametrize(
    ("events", "position", "reason"),
    [
        (
            [shift("a", 5, amount_ratio=11.0), shift("b", 2, amount_ratio=10.0)],
            0,
            "amount_ratio: 'a' (11) and 'b' (10) are under way together from day 5 on and multiply by more than 100",
        ),
        (
            [shift("a", 0, transaction_ratio=50.0, until_day=4), shift("b", 3, transaction_ratio=3.0)],
            1,
            "transaction_ratio: 'a' (50) and 'b' (3) are under way together from day 3 on",
        ),
        (
            [shift("season", 0, amount_ratio=50.0, until_day=4, every_days=9), shift("b", 30, amount_ratio=3.0)],
            1,
            "amount_ratio: 'season' (50) and 'b' (3) are under way together from day 30 on",
        ),
        ([prevalence("a", 1, 60.0), prevalence("b", 1, 2.0)], 1, "ratio of fraud_prevalence: 'a' (60) and 'b' (2)"),
        (
            [unit("mills", 1, 1000.0), unit("cents", 9, 100.0, channel="atm")],
            1,
            "ratio of unit_change: 'mills' (1000) and 'cents' (100) are under way together from day 9 on and multiply"
            " by more than 10,000: lower one of them, or let one end before the other begins",
        ),
        (
            [shift(name, 3, amount_ratio=5.0) for name in "abc"],
            2,
            "amount_ratio: 'a' (5) and 'b' (5) and 'c' (5) are under way together from day 3 on",
        ),
        # A ratio below 1 may come later, or with a ramp.
        (
            [shift("a", 1, amount_ratio=0.1), shift("b", 1, amount_ratio=20.0), shift("c", 1, amount_ratio=20.0)],
            2,
            "amount_ratio: 'b' (20) and 'c' (20) are under way together",
        ),
    ],
)
def test_events_that_multiply_too_much_together_are_told_by_name(
    events: list[WorldEvent], position: int, reason: str
) -> None:
    excess = find_excess(events)
    assert excess is not None
    assert excess.position == position
    assert excess.reason.startswith(reason)
    with pytest.raises(Misconfigured, match=r"world: .* are under way together"):
        SimulationSettings(seed=1, timeline=tuple(events))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [shift("a", 0, amount_ratio=100.0)],
        [shift("a", 0, amount_ratio=10.0), shift("b", 0, amount_ratio=10.0)],
        [shift("a", 0, amount_ratio=50.0, until_day=4), shift("b", 4, amount_ratio=50.0)],
        [shift("a", 0, amount_ratio=50.0), shift("b", 0, transaction_ratio=50.0), prevalence("c", 0, 50.0)],
        [unit("a", 0, 10_000.0, channel="atm"), unit("b", 0, 10_000.0, channel="chip")],
        [unit("a", 0, 10_000.0), shift("b", 0, amount_ratio=100.0)],
    ],
)
def test_events_that_multiply_as_much_as_one_may_are_no_excess(events: list[WorldEvent]) -> None:
    assert find_excess(events) is None


def test_the_change_of_the_demo_counts_too() -> None:
    with pytest.raises(Misconfigured, match=r"amount_ratio: 'much' .* and 'more and later spending online' "):
        SimulationSettings(seed=1, change_day=5, timeline=(shift("much", 2, amount_ratio=90.0),))


def test_amounts_end_at_the_largest_one_of_a_record() -> None:
    """Two thousand times 1,000 % a year is more than a factor of 10^17 on day 3."""
    hyper = [Inflation(name="hyper", from_day=0, is_harmful=False, yearly=10.0)] * 2_000
    timeline = (*hyper, shift("much", 0, amount_ratio=100.0), unit("mills", 0, 10_000.0))
    simulation = Simulation(SimulationSettings(seed=1, cards=60, merchants=220, timeline=timeline))
    for day in range(3):
        simulation.simulate_day(day)
    amounts = simulation.simulate_day(3).transactions["amount_minor"]
    assert np.median(amounts) == amounts.max() == MAX_AMOUNT_MINOR
    assert amounts.min() > 0


def test_centuries_of_inflation_give_a_number() -> None:
    hyper = Inflation(name="hyper", from_day=0, is_harmful=False, yearly=10.0)
    nothing = SpendingShift(name="nothing", from_day=0, is_harmful=False, amount_ratio=0.0)
    assert regime_of([hyper] * 9, 300_000).amount_ratio == MAX_AMOUNT_MINOR
    assert regime_of([*[hyper] * 9, nothing], 300_000).amount_ratio == 0.0
