"""Payments to try the system with, made by the attacks of the simulation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardwatch.errors import Misconfigured
from cardwatch.events import Channel, Transaction, decode, encode
from cardwatch.simulation.presets import GENUINE, PresetBuilder, presets
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology

WORLD = SimulationSettings(seed=3, cards=400, merchants=400)
MORNING = datetime(2025, 2, 3, 10, tzinfo=UTC)
NAMES = [preset.name for preset in presets()]
BUILDER = PresetBuilder(WORLD)


def build(name: str, card_id: str = "card-000017", at: datetime = MORNING, seed: int = 0) -> list[Transaction]:
    return BUILDER.build(name, card_id, at, seed=seed, prefix="try")


def test_there_is_a_preset_of_each_typology_and_one_genuine_payment() -> None:
    assert [typology.name.lower().replace("_", "-") for typology in Typology] == NAMES
    assert all(preset.title and preset.about for preset in presets())


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_pays_with_the_chosen_card_in_order_from_the_chosen_time_on(name: str) -> None:
    made = build(name)
    assert "card-000017" in {each.card_id for each in made}
    assert made[0].occurred_at == MORNING
    assert [each.occurred_at for each in made] == sorted(each.occurred_at for each in made)
    assert [each.transaction_id for each in made] == [f"try-{i}" for i in range(len(made))]
    assert all(decode(encode(each), Transaction) == each for each in made)


@given(st.sampled_from(NAMES), st.integers(0, 399), st.integers(0, 86_399), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_preset_never_leaves_the_event_day(name: str, card: int, second: int, seed: int) -> None:
    at = datetime(2025, 2, 3, tzinfo=UTC) + timedelta(seconds=second)
    made = build(name, f"card-{card:06d}", at, seed)
    assert made
    assert {each.occurred_at.date() for each in made} == {at.date()}


def test_equal_arguments_give_equal_payments_and_another_seed_gives_others() -> None:
    first = build("card-testing")
    build("relay-attack", at=MORNING + timedelta(days=40))
    assert build("card-testing") == first
    assert build("card-testing", seed=1) != first


def test_an_enumeration_tries_other_cards_of_the_same_range() -> None:
    made = build("enumeration")
    assert len({each.card_id for each in made}) > 2
    assert len({each.card_range for each in made}) == 1


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("card-testing", {Channel.ECOMMERCE}),
        ("lost-stolen-card", {Channel.CONTACTLESS, Channel.ATM}),
        ("counterfeit-card", {Channel.SWIPE, Channel.ATM}),
        ("bust-out", {Channel.CHIP}),
        ("relay-attack", {Channel.CONTACTLESS}),
    ],
)
def test_a_typology_uses_its_own_channels(name: str, channels: set[Channel]) -> None:
    assert {each.channel for seed in range(5) for each in build(name, seed=seed)} <= channels


def test_a_card_test_begins_with_tiny_amounts_and_ends_with_a_purchase() -> None:
    amounts = [each.amount_minor for each in build("card-testing")]
    assert all(50 <= amount < 300 for amount in amounts[:2])
    assert amounts[-1] > 300


def test_a_genuine_payment_has_the_customer_and_the_range_of_the_running_world() -> None:
    simulation = Simulation(WORLD)
    [mine, *_] = [
        each for day in range(9) for each in simulation.day(day).transactions if each.card_id == "card-000017"
    ]
    [made] = build(GENUINE)
    assert (made.customer_id, made.card_range) == (mine.customer_id, mine.card_range)


def test_a_card_of_another_world_keeps_its_id_and_has_no_customer() -> None:
    made = build("account-takeover", "token-of-others")
    assert {each.card_id for each in made} == {"token-of-others"}
    assert {each.customer_id for each in made} == {each.card_range for each in made} == {None}


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured, match="no preset 'robbery'; there are genuine, card-testing"):
        build("robbery")
