"""What recurs in a campaign of fraudsters, typology by typology."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count

import numpy as np
import pytest

from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.simulator import initial_attacks
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import (
    CHIP,
    CONTACTLESS,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    NO_DEVICE,
    TransactionArray,
    Typology,
)

DAYS = 60


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(SimulationSettings(seed=11, cards=3_000, fraud_share=0.02, change_day=40))


@pytest.fixture(scope="module")
def world(simulation: Simulation) -> TransactionArray:
    return np.concatenate([simulation.simulate_day(number).transactions for number in range(DAYS)])


def campaigns_of(world: TransactionArray, typology: Typology) -> list[TransactionArray]:
    """The transactions of each campaign with at least ten of them."""
    fraud = world[world["typology"] == typology]
    found = [fraud[fraud["campaign"] == number] for number in np.unique(fraud["campaign"])]
    large = [transactions for transactions in found if len(transactions) >= 10]
    assert len(large) > 2, typology
    return large


def test_a_campaign_is_of_one_typology_and_lasts_for_its_days(world: TransactionArray) -> None:
    assert not world["campaign"][world["typology"] == Typology.GENUINE].any()
    assert world["campaign"][world["typology"] != Typology.GENUINE].all()
    typologies: defaultdict[int, set[int]] = defaultdict(set)
    for number, typology in zip(world["campaign"].tolist(), world["typology"].tolist(), strict=True):
        typologies[number].add(typology)
    assert all(len(found) == 1 for found in typologies.values())
    assert len(typologies) > 200
    for number in typologies:
        days = world["campaign_day"][world["campaign"] == number]
        assert days.min() >= 0
        assert days.max() <= 65


@pytest.mark.parametrize(
    ("typology", "devices"),
    [
        (Typology.CARD_TESTING, 3),
        (Typology.ENUMERATION, 2),
        (Typology.STOLEN_CARD_DATA, 3),
        (Typology.ACCOUNT_TAKEOVER, 2),
        (Typology.SKIMMING, 3),
    ],
)
def test_a_campaign_uses_few_devices_on_many_cards(world: TransactionArray, typology: Typology, devices: int) -> None:
    genuine = set(world["device"][world["typology"] == Typology.GENUINE].tolist())
    cards_per_device = []
    for transactions in campaigns_of(world, typology):
        seen = transactions[transactions["device"] != NO_DEVICE]
        used = set(seen["device"].tolist())
        assert len(used) <= devices
        assert not used & genuine
        cards_per_device += [len(np.unique(seen["card"][seen["device"] == device])) for device in used]
    assert np.median(cards_per_device) >= 2


def test_tests_of_cards_are_tiny_and_concentrate_on_two_merchants(world: TransactionArray) -> None:
    for transactions in campaigns_of(world, Typology.CARD_TESTING):
        tests = transactions[transactions["amount_minor"] < 300]
        assert len(np.unique(tests["merchant"])) <= 2 + 4  # a purchase may be as small as a test
        assert len(tests) > len(transactions) / 2


def test_an_enumeration_strikes_cards_of_one_range_at_one_merchant_within_an_hour(
    simulation: Simulation, world: TransactionArray
) -> None:
    ranges = simulation.population.cards.card_range
    for transactions in campaigns_of(world, Typology.ENUMERATION):
        assert len(np.unique(ranges[transactions["card"]])) == 1
        tests = transactions[transactions["amount_minor"] < 300]
        merchant, most = Counter(tests["merchant"].tolist()).most_common(1)[0]
        assert most > 0.9 * len(tests)
        burst = np.sort(tests["occurred_at_ms"][tests["merchant"] == merchant])
        gaps = np.diff(burst)
        assert np.quantile(gaps, 0.8) < HOUR_MS / 4


def test_skimmed_cards_paid_at_one_terminal_days_before(world: TransactionArray) -> None:
    genuine = world[world["typology"] == Typology.GENUINE]
    for transactions in campaigns_of(world, Typology.SKIMMING):
        cards = np.unique(transactions["card"])
        first = transactions["occurred_at_ms"].min()
        before = genuine[(genuine["occurred_at_ms"] < first - 3 * DAY_MS) & np.isin(genuine["card"], cards)]
        visits = {(card, merchant) for card, merchant in before[["card", "merchant"]].tolist()}
        shared = Counter(merchant for _, merchant in visits)
        assert shared.most_common(1)[0][1] == len(cards)


def test_about_half_of_the_skimmed_cards_are_used_in_person(world: TransactionArray) -> None:
    skimmed = world[world["typology"] == Typology.SKIMMING]
    in_person = np.unique(skimmed["card"][skimmed["channel"] != ECOMMERCE])
    assert 0.35 < len(in_person) / len(np.unique(skimmed["card"])) < 0.65


def test_finders_pay_contactless_in_the_city_and_below_the_limit(
    simulation: Simulation, world: TransactionArray
) -> None:
    cities = simulation.population.merchants.city
    for transactions in campaigns_of(world, Typology.LOST_STOLEN_CARD):
        assert len(np.unique(cities[transactions["merchant"]])) == 1
        contactless = transactions[transactions["channel"] == CONTACTLESS]
        assert contactless["amount_minor"].max() < 5_000
        assert len(contactless) > 0.7 * len(transactions)


def test_bust_outs_use_the_holders_own_cards_at_the_same_shops(world: TransactionArray) -> None:
    for transactions in campaigns_of(world, Typology.BUST_OUT):
        assert set(transactions["channel"].tolist()) == {CHIP}
        assert len(np.unique(transactions["merchant"])) <= 3


def test_friendly_fraud_comes_from_a_device_that_the_holder_uses(world: TransactionArray) -> None:
    genuine = world[world["typology"] == Typology.GENUINE]
    known = set(zip(genuine["card"].tolist(), genuine["device"].tolist(), strict=True))
    friendly = world[world["typology"] == Typology.FRIENDLY_FRAUD]
    used = list(zip(friendly["card"].tolist(), friendly["device"].tolist(), strict=True))
    assert sum(pair in known for pair in used) > 0.7 * len(used) > 30


def test_collusive_merchants_charge_their_former_customers(world: TransactionArray) -> None:
    genuine = world[world["typology"] == Typology.GENUINE]
    customers = set(zip(genuine["card"].tolist(), genuine["merchant"].tolist(), strict=True))
    charged = world[world["typology"] == Typology.MERCHANT_COLLUSION]
    pairs = list(zip(charged["card"].tolist(), charged["merchant"].tolist(), strict=True))
    assert len(pairs) > 30
    assert all(pair in customers for pair in pairs)


@pytest.mark.parametrize("attack", initial_attacks(), ids=lambda attack: attack.typology.name)
def test_incidents_have_their_expected_size_and_none_is_lost(attack: Attack) -> None:
    simulation = Simulation(SimulationSettings(seed=3, cards=3_000, fraud_share=0.0))
    numbers, made, per_day = count(1), 0, 20.0
    for day in range(80):
        simulated = simulation.simulate_day(day).transactions
        rng = np.random.default_rng([5, day])
        made += len(attack.day(simulation.population, rng, day, 0, per_day, simulated, lambda: next(numbers)))
    assert 0.6 * 80 * per_day < made < 1.3 * 80 * per_day
