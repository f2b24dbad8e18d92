"""Fraudsters that react to declines: what they learn, and what they change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from cardwatch.simulation.categories import CATEGORIES, MerchantType
from cardwatch.simulation.faults import DuplicatedRecords
from cardwatch.simulation.fraud.reactions import (
    ANY_MERCHANTS,
    HIDDEN_DEVICES,
    NEW_DEVICES,
    OWN_DEVICES,
    OWN_MERCHANTS,
    USUAL_TACTIC,
    EpsilonGreedyBandit,
    FraudGroup,
    FraudGroups,
    NewDevices,
    options_of,
    tactic_of,
)
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import (
    ATM,
    CHIP,
    ECOMMERCE,
    NO_DEVICE,
    TransactionArray,
    Typology,
    transaction_array,
)

SETTINGS = SimulationSettings(seed=4, cards=400, fraud_share=0.03, change_day=0)
REACTING = SimulationSettings(seed=4, cards=400, fraud_share=0.03, change_day=0, reacting_fraudsters=True)
INSIDERS = (Typology.MERCHANT_COLLUSION, Typology.BUST_OUT, Typology.FRIENDLY_FRAUD)
DAYS = 50
Rule = Callable[[TransactionArray], NDArray[np.bool_]]


def nothing(transactions: TransactionArray) -> NDArray[np.bool_]:
    return np.zeros(len(transactions), np.bool_)


def everything(transactions: TransactionArray) -> NDArray[np.bool_]:
    return np.ones(len(transactions), np.bool_)


def above(amount_minor: int, transactions: TransactionArray) -> NDArray[np.bool_]:
    return transactions["amount_minor"] > amount_minor


def run(settings: SimulationSettings, rule: Rule | None, days: int) -> list[TransactionArray]:
    simulation, made = Simulation(settings), []
    for number in range(days):
        made.append(simulation.simulate_day(number).transactions)
        if rule is not None:
            simulation.observe_declines(number, rule(made[-1]))
    return made


def digest(days: list[TransactionArray]) -> str:
    return hashlib.sha256(b"".join(day.tobytes() for day in days)).hexdigest()


def fraud_of(days: list[TransactionArray]) -> TransactionArray:
    everything_made = np.concatenate(days)
    return everything_made[everything_made["typology"] != Typology.GENUINE]


@pytest.fixture(scope="module")
def usual() -> list[TransactionArray]:
    return run(SETTINGS, None, DAYS)


@pytest.fixture(scope="module")
def reacting() -> list[TransactionArray]:
    return run(REACTING, everything, DAYS)


def test_without_the_setting_or_without_declines_every_byte_stays(
    usual: list[TransactionArray], reacting: list[TransactionArray]
) -> None:
    assert digest(run(SETTINGS, everything, DAYS)) == digest(usual)
    assert digest(run(REACTING, None, DAYS)) == digest(usual)
    assert digest(run(REACTING, nothing, DAYS)) == digest(usual)
    assert digest(reacting) != digest(usual)
    assert digest(reacting[:1]) == digest(usual[:1])  # the first declines are seen after it


def test_equal_declines_give_equal_bytes_and_others_others(reacting: list[TransactionArray]) -> None:
    assert digest(run(REACTING, everything, DAYS)) == digest(reacting)
    assert digest(run(REACTING, partial(above, 5_000), DAYS)) != digest(reacting)


def test_reactions_change_neither_people_nor_campaigns(
    usual: list[TransactionArray], reacting: list[TransactionArray]
) -> None:
    fields = ["occurred_at_ms", "amount_minor", "card", "merchant", "merchant_number", "device", "channel"]
    for one, other in zip(usual, reacting, strict=True):
        genuine, same = (day[day["typology"] == Typology.GENUINE][fields] for day in (one, other))
        assert np.array_equal(genuine, same)
    campaigns = [set(fraud_of(days)["campaign"].tolist()) for days in (usual, reacting)]
    assert len(campaigns[0] ^ campaigns[1]) <= 0.05 * len(campaigns[0])  # an incident may lie beyond the last day


def test_groups_go_on_after_their_campaigns(usual: list[TransactionArray]) -> None:
    fraud = fraud_of(usual)
    campaigns = {(row["typology"], row["group"], row["campaign"]) for row in fraud}
    groups = {(typology, group) for typology, group, _ in campaigns}
    assert len(groups) < 0.8 * len(campaigns)
    for row in fraud:
        assert (row["typology"], row["group"], row["campaign"]) in campaigns
    by_campaign = {campaign: group for _, group, campaign in campaigns}
    assert len(by_campaign) == len(campaigns)  # a campaign is of one group


def test_every_tactic_keeps_the_channel_and_what_the_merchant_sells(reacting: list[TransactionArray]) -> None:
    fraud = fraud_of(reacting)
    tried = np.array([options_of(tactic) for tactic in fraud["tactic"].tolist()])
    assert [set(column.tolist()) for column in tried.T] == [{0, 1, 2}, {0, 1}, {0, 1, 2}, {0, 1}]
    type_of = {int(category.code): category.merchant_type for category in CATEGORIES}
    for row in fraud:
        assert (row["channel"] == ECOMMERCE) == (type_of[int(row["category"])] is MerchantType.ONLINE)
        assert (row["channel"] == ATM) == (type_of[int(row["category"])] is MerchantType.ATM)
        assert row["channel"] != ATM or row["amount_minor"] % 1_000 == 0
    assert fraud["amount_minor"].min() >= 50


def test_insiders_do_not_react(reacting: list[TransactionArray]) -> None:
    fraud = fraud_of(reacting)
    is_insider = np.isin(fraud["typology"], INSIDERS)
    assert is_insider.any()
    assert not fraud["tactic"][is_insider].any()
    others = {int(typology) for typology in fraud["typology"][fraud["tactic"] > 0]}
    # Skimming may have no second incident: few of so few cards pay at its terminal.
    assert others | {Typology.SKIMMING} == set(Typology) - {Typology.GENUINE, *INSIDERS}


def test_a_relay_attack_stays_at_its_mule_merchant(reacting: list[TransactionArray]) -> None:
    fraud = fraud_of(reacting)
    relayed = fraud[fraud["typology"] == Typology.RELAY_ATTACK]
    assert {options_of(tactic)[1] for tactic in relayed["tactic"].tolist()} == {OWN_MERCHANTS, ANY_MERCHANTS}
    for campaign in np.unique(relayed["campaign"]):
        assert len(set(relayed["merchant"][relayed["campaign"] == campaign].tolist())) == 1


def test_fraudsters_find_amounts_that_are_not_declined() -> None:
    # Relay attacks pay 35 to 49 whole euros. Those above 40, 9 of 15, are declined: usual amounts have a value of 0.4.
    # Six tenths of them, 21 to 29.40 euros, are never declined, and have a value of 0.6.
    limit, late = 4_000, slice(15, 40)
    rows = [fraud_of(run(settings, partial(above, limit), 40)[late]) for settings in (REACTING, SETTINGS)]
    reacting, steady = (fraud[fraud["typology"] == Typology.RELAY_ATTACK] for fraud in rows)
    assert np.mean(above(limit, steady)) > 0.5
    assert np.mean(above(limit, reacting)) < 0.1
    assert np.mean([options_of(tactic)[0] == 1 for tactic in reacting["tactic"].tolist()]) > 0.75
    gains = [fraud["amount_minor"][~above(limit, fraud)].sum() / len(fraud) for fraud in (reacting, steady)]
    assert gains[0] > 1.3 * gains[1]


def test_a_bandit_moves_its_values_a_tenth_of_the_way_to_the_reward() -> None:
    bandit = EpsilonGreedyBandit((1.0, 0.6, 0.3))
    assert bandit.probabilities() == pytest.approx([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
    for _ in range(4):  # 1, 0.9, 0.81, 0.729, 0.6561
        bandit.learn(0, 0.0)
    assert int(np.argmax(bandit.probabilities())) == 0
    bandit.learn(0, 0.0)  # 0.59049 is below 0.6
    assert int(np.argmax(bandit.probabilities())) == 1


def test_equally_good_options_are_equally_probable() -> None:
    bandit = EpsilonGreedyBandit((1.0, 1.0, 1.0))
    assert bandit.probabilities() == pytest.approx([1 / 3] * 3)
    bandit.learn(1, 0.0)
    assert bandit.probabilities() == pytest.approx([0.45 + 0.1 / 3, 0.1 / 3, 0.45 + 0.1 / 3])


def test_a_bandit_draws_by_its_probabilities() -> None:
    bandit, rng = EpsilonGreedyBandit((0.2, 1.0, 0.1)), np.random.default_rng(0)
    drawn = np.bincount([bandit.choose(rng) for _ in range(6_000)], minlength=3) / 6_000
    assert drawn == pytest.approx(bandit.probabilities(), abs=0.015)


def test_a_group_that_is_declined_at_usual_amounts_only_moves_to_the_next_lower_ones() -> None:
    group, rng = FraudGroup(NewDevices()), np.random.default_rng(1)
    group.learn(USUAL_TACTIC, is_declined=True)
    for _ in range(300):
        tactic = group.choose(rng)
        group.learn(tactic, is_declined=options_of(tactic)[0] == 0)
    assert group.probabilities()[0] == pytest.approx([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3])


def test_a_group_unlearns_what_no_longer_works() -> None:
    group, rng = FraudGroup(NewDevices()), np.random.default_rng(1)
    group.learn(USUAL_TACTIC, is_declined=True)
    for declined_device in (OWN_DEVICES, NEW_DEVICES):
        for _ in range(300):
            tactic = group.choose(rng)
            group.learn(tactic, is_declined=options_of(tactic)[2] == declined_device)
        assert group.probabilities()[2][declined_device] == pytest.approx(0.1 / 3)


def test_a_group_keeps_to_its_attack_before_the_first_decline() -> None:
    groups = FraudGroups()
    rows = np.zeros(3, transaction_array(**one_payment(ECOMMERCE)).dtype)
    rows["typology"], rows["group"] = Typology.SKIMMING, [0, 0, 1]
    groups.learn(rows, np.array([False, False, True]))
    assert len(groups) == 2
    assert groups.reacting(Typology.SKIMMING, 0) is None
    assert groups.reacting(Typology.SKIMMING, 1) is not None
    assert groups.reacting(Typology.ENUMERATION, 1) is None


def one_payment(channel: int) -> dict[str, object]:
    return {
        "occurred_at_ms": 7_000,
        "amount_minor": 1_000,
        "card": 5,
        "merchant": np.array([3]),
        "device": 8,
        "channel": channel,
    }


@pytest.fixture(scope="module")
def world() -> Simulation:
    return Simulation(SETTINGS)


def carried_out(world: Simulation, tactic: int, *, keeps_merchants: bool = False) -> TransactionArray:
    merchants = world.population.merchants
    online, shop, machine = (
        int(np.flatnonzero(merchants.merchant_type == kind)[-1])
        for kind in (MerchantType.ONLINE, MerchantType.SHOP, MerchantType.ATM)
    )
    incident = transaction_array(
        occurred_at_ms=[1_000, 2_000, 3_500, 4_000],
        amount_minor=[60, 10_001, 5_000, 47_000],
        card=[7, 9, 7, 7],
        merchant=np.array([online, online, shop, machine]),
        device=[20, 20, NO_DEVICE, NO_DEVICE],
        channel=[ECOMMERCE, ECOMMERCE, CHIP, ATM],
    )
    group, rng = FraudGroup(NewDevices()), np.random.default_rng(3)
    group.carry_out(world.population, rng, tactic, incident, 1_000, keeps_merchants=keeps_merchants)
    return incident


def test_amounts_fall_to_their_ratio_but_not_below_what_can_be_paid(world: Simulation) -> None:
    changed = carried_out(world, tactic_of(2, OWN_MERCHANTS, OWN_DEVICES, 0))
    assert changed["amount_minor"].tolist() == [50, 3_000, 1_500, 14_000]  # 0.3 of each; cash in steps of 10 euros
    before = carried_out(world, USUAL_TACTIC)
    assert before["amount_minor"].tolist() == [60, 10_001, 5_000, 47_000]
    others = ["occurred_at_ms", "card", "merchant", "device", "channel"]
    assert np.array_equal(changed[others], before[others])


def test_a_slow_pace_takes_four_times_as_long_from_the_start(world: Simulation) -> None:
    changed = carried_out(world, tactic_of(0, OWN_MERCHANTS, OWN_DEVICES, 1))
    assert changed["occurred_at_ms"].tolist() == [1_000, 5_000, 11_000, 13_000]


def test_new_devices_are_one_for_each_card_and_online_only(world: Simulation) -> None:
    devices = carried_out(world, tactic_of(0, OWN_MERCHANTS, NEW_DEVICES, 0))["device"].tolist()
    assert devices[2:] == [NO_DEVICE, NO_DEVICE]
    assert len({20, *devices[:2]}) == 3
    hidden = carried_out(world, tactic_of(0, OWN_MERCHANTS, HIDDEN_DEVICES, 0))["device"]
    assert hidden.tolist() == [NO_DEVICE] * 4


def test_other_merchants_are_of_the_same_kind_and_city(world: Simulation) -> None:
    tactic, merchants = tactic_of(0, ANY_MERCHANTS, OWN_DEVICES, 0), world.population.merchants
    before, changed = carried_out(world, USUAL_TACTIC)["merchant"], carried_out(world, tactic)["merchant"]
    assert np.array_equal(merchants.merchant_type[changed], merchants.merchant_type[before])
    assert merchants.city[changed[2]] == merchants.city[before[2]]
    assert changed[3] == before[3]
    assert not np.array_equal(changed[:3], before[:3])
    assert np.array_equal(carried_out(world, tactic, keeps_merchants=True)["merchant"], before)


def test_a_duplicated_record_counts_once_and_is_declined_if_one_copy_is() -> None:
    fault = DuplicatedRecords(name="twice", from_day=0, is_harmful=False, share=1.0)
    settings = SimulationSettings(seed=4, cards=400, fraud_share=0.03, reacting_fraudsters=True, timeline=(fault,))

    def of_first_copies(transactions: TransactionArray) -> NDArray[np.bool_]:
        declined = np.zeros(len(transactions), np.bool_)
        declined[np.unique(transactions["number"], return_index=True)[1]] = True
        return declined

    assert len(np.unique(run(settings, None, 1)[0]["number"])) < len(run(settings, None, 1)[0])
    assert digest(run(settings, of_first_copies, 6)) == digest(run(settings, everything, 6))


def test_declines_of_other_days_or_of_another_number_are_refused() -> None:
    simulation = Simulation(REACTING)
    with pytest.raises(ValueError, match="only those of the newest day"):
        simulation.observe_declines(0, np.zeros(3, np.bool_))
    count = len(simulation.simulate_day(0).transactions)
    with pytest.raises(ValueError, match=f"it has {count} transactions, not bool \\[3\\]"):
        simulation.observe_declines(0, np.zeros(3, np.bool_))
    with pytest.raises(ValueError, match=f"not float64 \\[{count}\\]"):
        simulation.observe_declines(0, np.zeros(count))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="only those of the newest day"):
        simulation.observe_declines(1, np.zeros(count, np.bool_))
    simulation.observe_declines(0, np.zeros(count, np.bool_))
    with pytest.raises(ValueError, match="only once"):
        simulation.observe_declines(0, np.zeros(count, np.bool_))
