"""What people do in the simulated world: segments, pay days, holidays, seasons, travel, subscriptions."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest

from cardwatch.simulation.calendar_day import NO_PAY_DAY, calendar_day
from cardwatch.simulation.segments import SEGMENTS, SHARES
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import (
    ATM,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    RECURRING,
    TransactionArray,
)

FIRST_DAY = date(2025, 3, 1)
DAYS = 92  # March to May: Easter, May 1 and Ascension Day


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(SimulationSettings(seed=5, cards=1_500, first_day=FIRST_DAY, fraud_share=0.0))


@pytest.fixture(scope="module")
def days(simulation: Simulation) -> list[TransactionArray]:
    return [simulation.simulate_day(number).transactions for number in range(DAYS)]


def purchases_of(rows: TransactionArray) -> TransactionArray:
    return rows[rows["channel"] != RECURRING]


def test_the_shares_of_the_segments_add_up_to_one_and_their_means_to_the_average() -> None:
    assert SHARES.sum() == pytest.approx(1.0)
    for field in ("spending_level", "daily_rate", "ecommerce", "travel"):
        ratios = [getattr(segment, field) for segment in SEGMENTS]
        assert SHARES @ ratios == pytest.approx(1.0, abs=0.03), field


def test_segments_differ_in_amount_rate_online_share_and_hour(
    simulation: Simulation, days: list[TransactionArray]
) -> None:
    cards = simulation.population.cards
    rows = purchases_of(np.concatenate(days))
    of_row = cards.segment[rows["card"]]
    hours = rows["occurred_at_ms"] % DAY_MS / HOUR_MS
    names = [segment.name for segment in SEGMENTS]
    members = np.bincount(cards.segment, minlength=len(names))
    assert members / cards.count == pytest.approx(SHARES, abs=0.05)
    rate = dict(zip(names, np.bincount(of_row) / members, strict=True))
    median, online, hour = (
        {name: float(statistic(of_row == position)) for position, name in enumerate(names)}
        for statistic in (
            lambda mine: np.median(rows["amount_minor"][mine]),
            lambda mine: (rows["channel"][mine] == ECOMMERCE).mean(),
            lambda mine: np.median(hours[mine]),
        )
    )
    assert median["self-employed"] > median["employee"] > median["student"]
    assert rate["family"] > rate["employee"] > rate["retired"]
    assert online["student"] > online["employee"] > 1.5 * online["retired"]
    assert hour["student"] > hour["employee"] > hour["retired"] + 1.0


def test_people_spend_more_after_pay_day_than_before_it(simulation: Simulation, days: list[TransactionArray]) -> None:
    cards = simulation.population.cards
    paid_on = 15  # far from the days on which most are paid, and no holiday is near
    mine = cards.pay_day == paid_on
    others = cards.pay_day == NO_PAY_DAY
    assert mine.sum() > 50 < others.sum()

    def rate(members: np.ndarray, first: date, count: int) -> float:
        start = (first - FIRST_DAY).days
        chosen = np.concatenate(days[start : start + count])
        return float(np.isin(purchases_of(chosen)["card"], np.flatnonzero(members)).sum() / members.sum())

    after = sum(rate(mine, date(2025, month, 15), 7) for month in (3, 5))
    before = sum(rate(mine, date(2025, month, 8), 7) for month in (3, 5))
    assert 1.03 < after / before < 1.4
    unpaid = sum(rate(others, date(2025, month, 15), 7) / rate(others, date(2025, month, 8), 7) for month in (3, 5))
    assert unpaid / 2 == pytest.approx(1.0, abs=0.12)


def test_fewer_purchases_are_made_on_a_public_holiday_and_most_shops_are_closed(
    simulation: Simulation, days: list[TransactionArray]
) -> None:
    def of(day: date) -> TransactionArray:
        return purchases_of(days[(day - FIRST_DAY).days])

    holiday, week_before, week_after = date(2025, 5, 1), date(2025, 4, 24), date(2025, 5, 8)  # three Thursdays
    usual = (len(of(week_before)) + len(of(week_after))) / 2
    assert 0.6 * usual < len(of(holiday)) < 0.85 * usual
    merchants = simulation.population.merchants
    shop = ~np.isin(of(holiday)["channel"], (ECOMMERCE, ATM))
    assert merchants.opens_on_rest_days[of(holiday)["merchant"][shop]].all()
    shop = ~np.isin(of(week_after)["channel"], (ECOMMERCE, ATM))
    assert merchants.opens_on_rest_days[of(week_after)["merchant"][shop]].mean() < 0.75


def test_people_travel_more_in_summer_than_in_winter() -> None:
    def share_away(first_day: date) -> float:
        simulation = Simulation(SimulationSettings(seed=3, cards=800, merchants=300, first_day=first_day))
        travel = simulation.population.travel
        away = []
        for number in range(30):
            simulation.population.begin_day(number, calendar_day(first_day + timedelta(days=number)))
            away.append(travel.away.mean())
        return float(np.mean(away[10:]))

    assert share_away(date(2025, 7, 10)) > 1.6 * share_away(date(2025, 1, 10))
    assert 0.03 < share_away(date(2025, 4, 1)) < 0.15


def monthly_payments(days: list[TransactionArray]) -> dict[tuple[int, int], list[tuple[date, int]]]:
    """Return day and amount of each payment by card and merchant, for those with one payment in each month."""
    rows = np.concatenate(days)
    paid: defaultdict[tuple[int, int], list[tuple[date, int]]] = defaultdict(list)
    recurring = rows[rows["channel"] == RECURRING]
    for card, merchant, moment, amount in recurring[["card", "merchant", "occurred_at_ms", "amount_minor"]].tolist():
        paid[card, merchant].append((date(1970, 1, 1) + timedelta(milliseconds=moment), amount))
    months = sorted({(day.year, day.month) for payments in paid.values() for day, _ in payments})
    return {
        pair: payments for pair, payments in paid.items() if [(day.year, day.month) for day, _ in payments] == months
    }


def test_a_subscription_is_paid_once_a_month_in_months_of_any_length(days: list[TransactionArray]) -> None:
    monthly = [[day.day for day, _ in payments] for payments in monthly_payments(days).values()]
    assert len(monthly) > 1_500
    # A few were cancelled, and others taken at the same merchant in the same month.
    until_30 = [on for on in monthly if on[0] <= 30]
    assert sum(on == [on[0]] * 3 for on in until_30) > 0.97 * len(until_30)
    on_31 = [on for on in monthly if on[0] == 31]
    assert len(on_31) > 20
    assert sum(on == [31, 30, 31] for on in on_31) > 0.9 * len(on_31)


def test_cards_have_several_subscriptions_or_none_and_pay_before_six(days: list[TransactionArray]) -> None:
    rows = np.concatenate(days[:31])
    recurring = rows[rows["channel"] == RECURRING]
    per_card = np.bincount(recurring["card"], minlength=1_500)
    assert 2.2 < per_card.mean() < 3.2
    assert (per_card == 0).sum() > 30
    assert (per_card >= 4).sum() > 150
    assert (recurring["occurred_at_ms"] % DAY_MS).max() < 6 * HOUR_MS
    assert (recurring["amount_minor"] % 100 == 99).all()


def test_prices_of_subscriptions_change_now_and_then_for_all_customers_of_a_merchant() -> None:
    simulation = Simulation(SimulationSettings(seed=2, cards=600, first_day=FIRST_DAY, fraud_share=0.0))
    payments = monthly_payments([simulation.simulate_day(number).transactions for number in range(184)])
    changed: defaultdict[tuple[int, int], list[bool]] = defaultdict(list)
    for (_, merchant), of_pair in payments.items():
        for (_, before), (day, after) in pairwise(of_pair):
            changed[merchant, day.month].append(before != after)
    of_all = [each for flags in changed.values() for each in flags]
    # 30 of 540 days: 6 % of the prices change between two payments, those that round to the same euro excepted.
    assert 0.005 < np.mean(of_all) < 0.12
    many = [np.mean(flags) for flags in changed.values() if len(flags) >= 8]
    # A merchant's price changes for most customers in the same month, or for nearly none.
    assert len(many) > 60
    assert sum(0.15 < share < 0.3 for share in many) < 0.1 * len(many)
    assert sum(share > 0.3 for share in many) >= 3
