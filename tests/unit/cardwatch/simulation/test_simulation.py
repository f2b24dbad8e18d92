from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from cardwatch.card_numbers import looks_like_card_number
from cardwatch.errors import Misconfigured
from cardwatch.events import Channel, LabelSource, Transaction, decode, encode
from cardwatch.simulation.categories import CATEGORIES, MerchantType
from cardwatch.simulation.fraud.simulator import initial_attacks
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from cardwatch.simulation.tokens import opaque
from cardwatch.simulation.transaction_array import Typology
from cardwatch.simulation.weighted_sampler import WeightedSampler

FIRST_DAY = date(2025, 3, 3)
PRESENT = {Channel.CHIP, Channel.CONTACTLESS, Channel.SWIPE, Channel.ATM}
INITIAL_ATTACKS = set(Typology) - {Typology.GENUINE, Typology.RELAY_ATTACK}


def days_of(count: int, **settings: object) -> list[EventsOfDay]:
    simulation = Simulation(SimulationSettings(**{"seed": 5, "cards": 600, "first_day": FIRST_DAY, **settings}))
    return [simulation.day(number) for number in range(count)]


def pairs(days: list[EventsOfDay]) -> list[tuple[Transaction, Typology]]:
    return [(t, truth.typology) for day in days for t, truth in zip(day.transactions, day.truth, strict=True)]


@pytest.fixture(scope="module")
def forty_days() -> list[EventsOfDay]:
    return days_of(40, change_day=25)


def test_a_day_holds_its_own_transactions_in_order_of_time(forty_days: list[EventsOfDay]) -> None:
    for number, events in enumerate(forty_days):
        assert events.day == FIRST_DAY + timedelta(days=number)
        times = [transaction.occurred_at for transaction in events.transactions]
        assert times == sorted(times)
        assert {time.date() for time in times} == {events.day}


def test_every_transaction_survives_its_contract(forty_days: list[EventsOfDay]) -> None:
    transactions = [transaction for transaction, _ in pairs(forty_days)]
    assert all(decode(encode(transaction), Transaction) == transaction for transaction in transactions)


def test_transaction_ids_never_repeat(forty_days: list[EventsOfDay]) -> None:
    ids = [transaction.transaction_id for transaction, _ in pairs(forty_days)]
    assert len(set(ids)) == len(ids)


def test_no_identifier_looks_like_a_card_number(forty_days: list[EventsOfDay]) -> None:
    for transaction, _ in pairs(forty_days):
        names = (transaction.card_id, transaction.merchant_id, transaction.transaction_id)
        more = (transaction.device_id, transaction.customer_id, transaction.card_range)
        assert not any(looks_like_card_number(name) or re.search(r"\d{13}", name) for name in names + more if name)


def test_the_location_is_set_exactly_where_the_card_was_present(forty_days: list[EventsOfDay]) -> None:
    for transaction, _ in pairs(forty_days):
        assert (transaction.latitude is not None) == (transaction.channel in PRESENT)
        assert (transaction.longitude is not None) == (transaction.channel in PRESENT)


def test_the_device_is_set_only_online_and_for_contactless_phones(forty_days: list[EventsOfDay]) -> None:
    with_device = Counter(t.channel for t, _ in pairs(forty_days) if t.device_id is not None)
    assert set(with_device) == {Channel.ECOMMERCE, Channel.CONTACTLESS}
    online = sum(t.channel is Channel.ECOMMERCE for t, _ in pairs(forty_days))
    assert with_device[Channel.ECOMMERCE] > 0.9 * online


def test_every_channel_category_and_typology_occurs() -> None:
    forty_days = days_of(40, change_day=25, fraud_share=0.02)
    assert {t.channel for t, _ in pairs(forty_days)} == set(Channel)
    assert {t.merchant_category for t, _ in pairs(forty_days)} == {category.code for category in CATEGORIES}
    assert {typology for _, typology in pairs(forty_days)} == set(Typology)


def test_the_channel_fits_what_the_merchant_sells(forty_days: list[EventsOfDay]) -> None:
    type_of = {category.code: category.merchant_type for category in CATEGORIES}
    for transaction, _ in pairs(forty_days):
        merchant_type = type_of[transaction.merchant_category]
        assert (transaction.channel is Channel.ATM) == (merchant_type is MerchantType.ATM)
        assert (transaction.channel is Channel.ECOMMERCE) == (merchant_type is MerchantType.ONLINE)
        assert (transaction.channel is Channel.RECURRING) == (merchant_type is MerchantType.SUBSCRIPTION)


def test_cards_are_used_about_twice_a_day(forty_days: list[EventsOfDay]) -> None:
    assert 1.7 < len(pairs(forty_days)) / (600 * len(forty_days)) < 2.5


def test_the_fraud_rate_is_about_the_configured_share() -> None:
    counts = Counter(typology for _, typology in pairs(days_of(40, cards=1_000, fraud_share=0.01)))
    assert 0.008 < 1 - counts[Typology.GENUINE] / counts.total() < 0.012
    assert set(counts) == {Typology.GENUINE} | INITIAL_ATTACKS


def test_a_fraud_share_of_zero_gives_no_fraud() -> None:
    days = days_of(8, fraud_share=0.0)
    assert {typology for _, typology in pairs(days)} == {Typology.GENUINE}
    assert not any(label.is_fraud for day in days for label in day.labels)


def test_the_shares_of_the_initial_attacks_add_up_to_one() -> None:
    assert sum(attack.share for attack in initial_attacks()) == pytest.approx(1.0)


def test_relay_attacks_begin_with_the_change_and_are_then_the_larger_part_of_fraud(
    forty_days: list[EventsOfDay],
) -> None:
    before = Counter(typology for _, typology in pairs(forty_days[:25]))
    after = Counter(typology for _, typology in pairs(forty_days[25:]))
    assert before[Typology.RELAY_ATTACK] == 0
    assert after[Typology.RELAY_ATTACK] > sum(after[typology] for typology in INITIAL_ATTACKS)


def test_relay_attacks_look_ordinary_field_by_field(forty_days: list[EventsOfDay]) -> None:
    genuine = [transaction for transaction, typology in pairs(forty_days) if typology is Typology.GENUINE]
    known = {(transaction.card_id, transaction.device_id) for transaction in genuine}
    been = {(transaction.card_id, transaction.country) for transaction in genuine}
    relayed = [transaction for transaction, typology in pairs(forty_days) if typology is Typology.RELAY_ATTACK]
    assert {transaction.channel for transaction in relayed} == {Channel.CONTACTLESS}
    assert max(transaction.amount_minor for transaction in relayed) < 5_000
    assert sum((transaction.card_id, transaction.device_id) in known for transaction in relayed) > 0.95 * len(relayed)
    assert sum((transaction.card_id, transaction.country) in been for transaction in relayed) > 0.95 * len(relayed)


def test_people_spend_more_and_more_online_after_the_change() -> None:
    def online_and_mean(days: list[EventsOfDay]) -> tuple[float, float]:
        genuine = [transaction for transaction, typology in pairs(days) if typology is Typology.GENUINE]
        online = sum(transaction.channel is Channel.ECOMMERCE for transaction in genuine) / len(genuine)
        return online, float(np.median([transaction.amount_minor for transaction in genuine]))

    online_before, amount_before = online_and_mean(days_of(7))
    online_after, amount_after = online_and_mean(days_of(7, change_day=0))
    assert online_after > 1.15 * online_before
    assert amount_after > 1.1 * amount_before


def test_every_fraud_is_labelled_once_and_almost_all_within_five_days(forty_days: list[EventsOfDay]) -> None:
    old_enough = forty_days[:30]
    frauds = {t.transaction_id for t, typology in pairs(old_enough) if typology is not Typology.GENUINE}
    labels = [label for day in forty_days for label in day.labels if label.transaction_id in frauds]
    assert all(label.is_fraud for label in labels)
    assert sorted(label.transaction_id for label in labels) == sorted(frauds)
    delays = [label.observed_at - label.effective_at for label in labels]
    assert max(delays) < timedelta(days=9)
    assert sum(delay >= timedelta(days=5) for delay in delays) < 0.04 * len(delays)
    assert {label.source for label in labels} == set(LabelSource)


def test_labels_come_on_the_day_they_are_observed_and_in_order(forty_days: list[EventsOfDay]) -> None:
    for events in forty_days:
        observed = [label.observed_at for label in events.labels]
        assert observed == sorted(observed)
        assert {moment.date() for moment in observed} <= {events.day}


def test_labels_repeat_their_transaction(forty_days: list[EventsOfDay]) -> None:
    transactions = {transaction.transaction_id: transaction for transaction, _ in pairs(forty_days)}
    for label in (label for day in forty_days for label in day.labels):
        transaction = transactions[label.transaction_id]
        assert (label.card_id, label.merchant_id, label.effective_at) == (
            transaction.card_id,
            transaction.merchant_id,
            transaction.occurred_at,
        )
        assert label.observed_at > label.effective_at


def test_investigators_clear_a_few_genuine_transactions(forty_days: list[EventsOfDay]) -> None:
    cleared = [label for day in forty_days for label in day.labels if not label.is_fraud]
    assert 0 < len(cleared) < 0.002 * len(pairs(forty_days))
    assert {label.source for label in cleared} == {LabelSource.INVESTIGATOR}


def test_the_previous_outcome_is_unknown_for_first_attempts_only(forty_days: list[EventsOfDay]) -> None:
    seen: set[str] = set()
    for transaction, _ in pairs(forty_days):
        assert (transaction.previous_outcome is None) == (transaction.card_id not in seen)
        seen.add(transaction.card_id)


@pytest.mark.parametrize("wrong", [1, 5])
def test_days_out_of_order_are_refused(wrong: int) -> None:
    simulation = Simulation(SimulationSettings(seed=1, cards=60, merchants=200))
    with pytest.raises(ValueError, match=f"day 0 is next, not {wrong}"):
        simulation.day(wrong)


def test_a_day_cannot_be_taken_twice() -> None:
    simulation = Simulation(SimulationSettings(seed=1, cards=60, merchants=200))
    simulation.day(0)
    with pytest.raises(ValueError, match="day 1 is next, not 0"):
        simulation.day(0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", -1), ("cards", 0), ("merchants", 3), ("fraud_share", 0.5), ("change_day", -2)],
)
def test_a_setting_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(Misconfigured, match=f"{field}={value}"):
        SimulationSettings(**{"seed": 1, field: value})


def test_a_sampler_draws_by_weight_and_only_from_the_group() -> None:
    sampler = WeightedSampler(np.array([3.0, 0.0, 1.0, 5.0]), np.array([0, 0, 0, 1]))
    drawn = Counter(sampler.draw(np.random.default_rng(0), np.zeros(8_000, dtype=np.int64)).tolist())
    assert set(drawn) == {0, 2}  # member 1 has no weight, member 3 is in the other group
    assert 0.72 < drawn[0] / 8_000 < 0.78  # 3 of 4
    assert sampler.draw(np.random.default_rng(0), np.array([1, 1])).tolist() == [3, 3]


def test_opaque_tokens_differ_and_hide_their_number() -> None:
    tokens = opaque("m", np.arange(5_000))
    assert len(set(tokens)) == 5_000
    assert all(re.fullmatch(r"m-[0-9a-f]{8}", token) for token in tokens)
    odd = sum(int(token[-1], 16) % 2 for token in tokens[::2])
    assert 0.4 < odd / 2_500 < 0.6  # an even number may give an odd token


def test_midnight_belongs_to_the_new_day(forty_days: list[EventsOfDay]) -> None:
    start = datetime(2025, 3, 3, tzinfo=UTC)
    assert start <= forty_days[0].transactions[0].occurred_at < start + timedelta(days=1)
