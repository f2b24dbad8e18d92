"""Events on a timeline: when they act, and what they change."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cardwatch.simulation.categories import CATEGORIES, CODES
from cardwatch.simulation.settings import SimulationSettings, WorldEvent
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.timeline import (
    CategoryGrowth,
    FraudPrevalence,
    Inflation,
    NewMerchants,
    NewTypology,
    Regime,
    SpendingShift,
    TimelineEvent,
    change_of_the_demo,
    regime_of,
)
from cardwatch.simulation.transaction_array import ECOMMERCE, TransactionArray, Typology

DAYS = 14
OTHERS = [each for each in Typology if each not in (Typology.GENUINE, Typology.BUST_OUT)]


def shift(**fields: object) -> SpendingShift:
    return SpendingShift(**{"name": "shift", "from_day": 3, "is_harmful": False, "amount_ratio": 2.0, **fields})


def strengths(event: TimelineEvent, days: int) -> list[float]:
    return [event.strength(day) for day in range(days)]


def test_an_event_acts_from_its_onset_to_its_end() -> None:
    assert strengths(shift(), 6) == [0, 0, 0, 1, 1, 1]
    assert strengths(shift(until_day=5), 7) == [0, 0, 0, 1, 1, 0, 0]


def test_a_ramp_grows_to_the_full_strength_and_stays() -> None:
    assert strengths(shift(ramp_days=3), 9) == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_a_recurring_event_begins_again() -> None:
    assert strengths(shift(until_day=5, every_days=4), 12) == [0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]
    assert strengths(shift(until_day=5, every_days=4, ramp_days=1), 9) == [0, 0, 0, 0.5, 1, 0, 0, 0.5, 1]


def test_without_events_nothing_differs() -> None:
    assert regime_of([], 5) == Regime()


def test_effects_of_several_events_add_up() -> None:
    events: list[TimelineEvent] = [
        shift(ecommerce_ratio=1.5, hours_later=2.0),
        shift(ramp_days=1, amount_ratio=3.0, hours_later=-1.0),
        FraudPrevalence(name="less", from_day=3, is_harmful=False, ratio=0.5),
        Inflation(name="dearer", from_day=3, is_harmful=False, yearly=1.0),
        NewMerchants(name="new", from_day=4, is_harmful=True),
        NewTypology(name="more", from_day=3, is_harmful=True, typology="bust_out", share=0.01),
        NewTypology(name="even more", from_day=3, is_harmful=True, typology="bust_out", share=0.02, ramp_days=1),
        CategoryGrowth(name="games", from_day=3, is_harmful=False, category="5816", ratio=3.0, ramp_days=1),
    ]
    regime = regime_of(events, 3)
    # The second shift and all with a ramp of one day are at half strength: 1 + (3 - 1) / 2 = 2.
    assert (regime.amount_ratio, regime.ecommerce_ratio, regime.hours_later) == (2.0 * 2.0, 1.5, 2.0 - 0.5)
    assert (regime.prevalence_ratio, regime.new_online_merchants) == (0.5, False)
    assert regime.new_shares == {Typology.BUST_OUT: pytest.approx(0.01 + 0.01)}
    assert regime.category_ratios == {CODES.index("5816"): 2.0}
    a_year_later = regime_of(events, 3 + 365)
    assert a_year_later.amount_ratio == pytest.approx(2.0 * 3.0 * 2.0)
    assert a_year_later.new_online_merchants


def test_the_change_of_the_demo_is_an_event_like_others() -> None:
    assert regime_of(change_of_the_demo(10), 9) == Regime()
    assert regime_of(change_of_the_demo(10), 10) == Regime(
        ecommerce_ratio=1.3,
        amount_ratio=1.25,
        hours_later=1.0,
        new_online_merchants=True,
        prevalence_ratio=0.8,
        new_shares={Typology.RELAY_ATTACK: 0.0028},
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "spending_shift", "until_day": 3}, "until_day 3 must be after from_day 3"),
        ({"kind": "spending_shift", "every_days": 5}, "every_days needs until_day"),
        (
            {"kind": "spending_shift", "until_day": 9, "every_days": 5},
            "every_days 5 must be at least the 6 days that it lasts",
        ),
        ({"kind": "new_typology", "typology": "magic", "share": 0.1}, "Expected `float` <= 0.05"),
        ({"kind": "new_typology", "typology": "magic", "share": 0.01}, "typology 'magic' is none of card_testing"),
        ({"kind": "category_growth", "category": "6011", "ratio": 2.0}, "category '6011' is none of 5411"),
        ({"kind": "spending_shift", "amount": 2.0}, "unknown field `amount`"),
        ({"kind": "new_merchants", "ramp_days": 4}, "ramp_days 4 has no meaning for this kind of event: remove it"),
        ({"kind": "inflation", "yearly": 0.1, "ramp_days": 4}, "ramp_days 4 has no meaning"),
        ({"kind": "inflation", "yearly": 0.1, "until_day": 9}, "until_day 9 has no meaning"),
        ({"kind": "new_codes", "category": "1234", "code": "9999"}, "category '1234' is none of 5411"),
        ({"kind": "rain"}, "Invalid value 'rain'"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    event = {"name": "odd", "from_day": 3, "is_harmful": True, **fields}
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(event, WorldEvent)


def world(*timeline: TimelineEvent) -> TransactionArray:
    simulation = Simulation(SimulationSettings(seed=9, cards=2_000, timeline=timeline))
    return np.concatenate([simulation.simulate_day(day).transactions for day in range(DAYS)])


@pytest.fixture(scope="module")
def unchanged() -> TransactionArray:
    return world()


def genuine(transactions: TransactionArray) -> TransactionArray:
    return transactions[(transactions["typology"] == Typology.GENUINE) & (transactions["channel"] <= ECOMMERCE)]


def purchases_online(transactions: TransactionArray) -> int:
    return int(np.sum(transactions["channel"] == ECOMMERCE))


@pytest.mark.parametrize(
    ("event", "measure", "ratio"),
    [
        (shift(from_day=0, amount_ratio=1.0, transaction_ratio=1.5), len, 1.5),
        (shift(from_day=0), lambda rows: np.median(rows["amount_minor"]), 2.0),
        (shift(from_day=0, amount_ratio=1.0, ecommerce_ratio=0.5), purchases_online, 0.5),
        (
            Inflation(name="dearer", from_day=0, is_harmful=False, yearly=9.0),
            lambda rows: np.median(rows["amount_minor"]),
            10.0 ** (DAYS / 2 / 365),  # in the middle of the days
        ),
    ],
)  # fmt: skip
def test_genuine_spending_follows_an_event(
    unchanged: TransactionArray, event: TimelineEvent, measure: object, ratio: float
) -> None:
    assert callable(measure)
    assert measure(genuine(world(event))) / measure(genuine(unchanged)) == pytest.approx(ratio, rel=0.04)


@pytest.mark.parametrize(("code", "ratio"), [("5816", 3.0), ("5732", 4.0), ("5411", 0.5)])
def test_a_category_grows_at_the_expense_of_the_others(unchanged: TransactionArray, code: str, ratio: float) -> None:
    event = CategoryGrowth(name="growth", from_day=0, is_harmful=False, category=code, ratio=ratio)
    simulation = Simulation(SimulationSettings(seed=9, cards=2_000))
    category = simulation.population.merchants.category
    before, after = (genuine(rows) for rows in (unchanged, world(event)))
    members = [int(np.sum(category[rows["merchant"]] == CODES.index(code))) for rows in (before, after)]
    assert members[1] / members[0] == pytest.approx(ratio, rel=0.15)
    assert len(after) == pytest.approx(len(before), rel=0.02)
    of_category = np.array([each.merchant_type for each in CATEGORIES])
    types = [np.bincount(of_category[category[rows["merchant"]]]) for rows in (before, after)]
    assert types[1] / types[0] == pytest.approx(1.0, rel=0.03)


def test_fraud_follows_an_event(unchanged: TransactionArray) -> None:
    less = FraudPrevalence(name="less", from_day=0, is_harmful=False, ratio=0.4)
    more = NewTypology(name="ring", from_day=7, is_harmful=True, typology="bust_out", share=0.01)
    changed = world(less, more)
    initial = [int(np.isin(rows["typology"], OTHERS).sum()) for rows in (unchanged, changed)]
    assert initial[1] / initial[0] == pytest.approx(0.4, abs=0.12)
    first_day = changed["occurred_at_ms"].min() // 86_400_000
    days = changed["occurred_at_ms"][changed["typology"] == Typology.BUST_OUT] // 86_400_000 - first_day
    assert np.sum(days >= 7) / len(changed) == pytest.approx(0.005, rel=0.3)  # half of the days
    assert np.sum(days < 7) < 10
