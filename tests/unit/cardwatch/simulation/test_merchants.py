"""Merchants over months: birth and retirement, opening hours, sizes."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from cardwatch.simulation.calendar_day import is_rest_day
from cardwatch.simulation.categories import CATEGORIES, MERCHANT_TYPES, MerchantType
from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.opening_hours import wait_for_opening_hours
from cardwatch.simulation.random_streams import RandomStreams
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import (
    CHIP,
    CONTACTLESS,
    DAY_MS,
    HOUR_MS,
    SWIPE,
    TransactionArray,
    Typology,
    transaction_array,
)

FIRST_DAY = date(2025, 3, 3)
IN_SHOPS = (CHIP, CONTACTLESS, SWIPE)
EPOCH = date(1970, 1, 1)


def hour_of(rows: TransactionArray) -> np.ndarray:
    return rows["occurred_at_ms"] % DAY_MS / HOUR_MS


def is_open(code: int, hour: float) -> bool:
    """Whether shops of a category are open, by its hours in `CATEGORIES`; those until 26:00 close at 2:00."""
    category = next(category for category in CATEGORIES if int(category.code) == code)
    return category.opens <= hour < category.closes or hour < category.closes - 24


@pytest.fixture(scope="module")
def world() -> tuple[Simulation, TransactionArray]:
    settings = SimulationSettings(seed=9, cards=1_500, first_day=FIRST_DAY, fraud_share=0.02, change_day=30)
    simulation = Simulation(settings)
    return simulation, np.concatenate([simulation.simulate_day(number).transactions for number in range(60)])


def test_nobody_pays_in_a_shop_at_an_hour_at_which_it_is_closed(world: tuple[Simulation, TransactionArray]) -> None:
    _, rows = world
    rows = rows[np.isin(rows["channel"], IN_SHOPS)]
    assert all(is_open(code, hour) for code, hour in zip(rows["category"].tolist(), hour_of(rows), strict=True))
    assert (rows["typology"] != Typology.GENUINE).sum() > 500
    at_night = rows[(hour_of(rows) >= 2) & (hour_of(rows) < 4)]
    assert set(at_night["category"].tolist()) == {5541, 7011}  # service stations and hotels


def test_on_rest_days_only_some_shops_are_open(world: tuple[Simulation, TransactionArray]) -> None:
    _, rows = world
    rows = rows[np.isin(rows["channel"], IN_SHOPS)]
    day = rows["occurred_at_ms"] // DAY_MS
    rests = np.isin(day, [each for each in np.unique(day) if is_rest_day(EPOCH + timedelta(days=int(each)))])
    groceries = rows["category"] == 5411
    transport = rows["category"] == 4111
    assert groceries[rests].mean() < 0.75 * groceries[~rests].mean()
    assert transport[rests].mean() > transport[~rests].mean()
    shops = [set(rows["merchant"][(rows["category"] == 5411) & part].tolist()) for part in (rests, ~rests)]
    assert len(shops[0]) < 0.55 * len(shops[1])


@pytest.mark.parametrize(
    ("code", "start", "earliest", "latest"),
    [
        ("5732", 3.0, 9.0, 11.0),  # Thursday before it opens: the same day
        ("5732", 22.0, 33.0, 35.0),  # Thursday after it has closed: Friday
        ("5813", 25.5, 25.5, 25.5),  # 1:30 on Friday: bars are open until 2:00
        ("5813", 26.5, 39.0, 41.0),  # 2:30: at 15:00
        ("5541", 3.0, 3.0, 3.0),  # service stations do not close
        ("5732", 2 * 24 + 22.0, 4 * 24 + 9.0, 4 * 24 + 11.0),  # Saturday night: on Monday, for it rests on Sundays
    ],
)
def test_fraudsters_wait_for_the_shop_to_open(code: str, start: float, earliest: float, latest: float) -> None:
    merchants = Merchants(RandomStreams(3), 600)
    position = next(number for number, category in enumerate(CATEGORIES) if category.code == code)
    closed_on_sundays = (merchants.category == position) & merchants.is_trading & ~merchants.opens_on_rest_days
    chosen = np.flatnonzero(merchants.category == position if code == "5541" else closed_on_sundays)[:1]
    thursday = (date(2025, 3, 6) - EPOCH).days * DAY_MS
    [row] = wait_for_opening_hours(
        merchants,
        np.random.default_rng(0),
        transaction_array(
            occurred_at_ms=thursday + round(start * HOUR_MS),
            amount_minor=1_000,
            card=0,
            merchant=np.repeat(chosen, 1),
            device=-1,
            channel=CHIP,
        ),
    )
    assert earliest <= (row["occurred_at_ms"] - thursday) / HOUR_MS <= latest


def test_fraud_at_a_merchant_that_has_closed_for_good_fails() -> None:
    merchants = Merchants(RandomStreams(3), 600)
    closed = np.flatnonzero(~merchants.is_trading)
    assert len(closed) > 3
    rows = transaction_array(occurred_at_ms=0, amount_minor=900, card=0, merchant=closed, device=-1, channel=CHIP)
    assert len(wait_for_opening_hours(merchants, np.random.default_rng(0), rows)) == 0


def test_a_small_share_of_merchants_closes_and_as_many_open_over_years() -> None:
    merchants = Merchants(RandomStreams(4), 2_000)
    trading = [int(merchants.is_trading.sum())]
    closed = opened = 0
    for day in range(3 * 365):
        before = merchants.is_trading.copy()
        any_closed = merchants.begin_day(day)
        closing, opening = before & ~merchants.is_trading, ~before & merchants.is_trading
        assert any_closed == closing.any()
        closed, opened = closed + int(closing.sum()), opened + int(opening.sum())
        trading.append(int(merchants.is_trading.sum()))
    assert closed / 2_000 / 3 == pytest.approx(365 / 4_000, rel=0.2)  # 9 % a year
    assert opened == pytest.approx(closed, rel=0.15)
    assert max(trading) - min(trading) < 0.02 * 2_000
    # Each city and each country can still be served, also on Sundays.
    assert merchants.shops_on_rest_days.has_members(np.arange(26)).all()
    assert merchants.online_by_country.has_members(np.unique(merchants.country)).all()


def test_the_next_merchant_in_a_place_has_another_id_and_opens_months_later() -> None:
    merchants = Merchants(RandomStreams(4), 1_000)
    closed_on: dict[int, tuple[int, int]] = {}
    waited = []
    for day in range(400):
        before = merchants.is_trading.copy()
        merchants.begin_day(day)
        for place in np.flatnonzero(before & ~merchants.is_trading).tolist():
            closed_on[place] = day, int(merchants.numbers(np.array([place]))[0])
        for place in np.flatnonzero(~before & merchants.is_trading).tolist():
            if place in closed_on:
                then, number = closed_on.pop(place)
                waited.append(day - then)
                assert merchants.numbers(np.array([place]))[0] != number
    assert len(waited) > 40
    assert 60 <= min(waited) <= max(waited) <= 120


def test_favourites_that_have_closed_are_replaced() -> None:
    simulation = Simulation(SimulationSettings(seed=6, cards=400, merchants=900, fraud_share=0.0))
    cards, merchants = simulation.population.cards, simulation.population.merchants
    before = cards.favourite_shops.copy()
    for number in range(120):
        simulation.simulate_day(number)
        assert merchants.is_trading[cards.favourite_shops].all()
        assert merchants.is_trading[cards.favourite_online].all()
    replaced = (cards.favourite_shops != before).mean()
    assert 0.005 < replaced < 0.10  # 3 % of the merchants close in 120 days
    assert (merchants.city[cards.favourite_shops] == cards.home_city[:, None]).all()


def test_genuine_purchases_are_made_at_trading_merchants_only() -> None:
    simulation = Simulation(SimulationSettings(seed=6, cards=300, merchants=900))
    for number in range(90):
        rows = simulation.simulate_day(number).transactions
        assert simulation.population.merchants.is_trading[rows["merchant"]].all()


def test_sizes_of_merchants_have_a_heavy_tail(world: tuple[Simulation, TransactionArray]) -> None:
    simulation, rows = world
    merchants = simulation.population.merchants
    shops = np.flatnonzero(MERCHANT_TYPES[merchants.category] == MerchantType.SHOP)
    taken = np.sort(np.bincount(rows["merchant"], minlength=merchants.count)[shops])[::-1]
    assert taken[: len(shops) // 10].sum() > 0.35 * taken.sum()
    assert taken[len(shops) // 2 :].sum() < 0.2 * taken.sum()
