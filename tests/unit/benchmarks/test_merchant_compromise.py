"""The world of compromised merchants: its rules, and the documented figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.merchant_compromise.compromise_world import DAY_MS, CompromiseWorld, FraudCause
from benchmarks.merchant_compromise.measure import PROTOCOL, CompromiseResult, dataset_of, markdown, measure_world

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"

WORLD = CompromiseWorld(seed=3, cards=400, merchants=300, days=28)


@pytest.fixture(scope="module")
def payments() -> NDArray[np.void]:
    return WORLD.payments()


def test_a_world_is_fixed_by_its_seed_and_ordered_by_time(payments: NDArray[np.void]) -> None:
    assert np.array_equal(WORLD.payments(), payments)
    assert not np.array_equal(CompromiseWorld(seed=4, cards=400, merchants=300, days=28).payments(), payments)
    assert np.all(np.diff(payments["occurred_at_ms"]) >= 0)
    days = payments["occurred_at_ms"] // DAY_MS
    assert days[-1] - days[0] == 27
    cards = len(np.unique(payments["card"]))  # without those that have no merchant near them
    assert len(payments) == pytest.approx(cards * 2 * 28, rel=0.1)  # 0 to 4 a day and card, evenly


def test_a_compromised_merchant_has_only_fraud_for_28_days(payments: NDArray[np.void]) -> None:
    days = payments["occurred_at_ms"] // DAY_MS
    by_merchant = payments["cause"] == FraudCause.MERCHANT
    compromised = np.unique(payments["merchant"][by_merchant])
    assert len(compromised) > 30
    for merchant in compromised:
        of_merchant = payments["merchant"] == merchant
        since = days[of_merchant & by_merchant].min()
        assert np.all(payments["cause"][of_merchant & (days >= since)] != FraudCause.NONE)


def test_a_compromised_merchant_recovers() -> None:
    longer = CompromiseWorld(seed=3, cards=100, merchants=2_000, days=60).payments()
    days = (longer["occurred_at_ms"] - longer["occurred_at_ms"][0]) // DAY_MS
    early = np.unique(longer["merchant"][(longer["cause"] == FraudCause.MERCHANT) & (days < 10)])
    later = np.isin(longer["merchant"], early) & (days >= 38)
    assert later.sum() > 20
    assert np.mean(longer["cause"][later] == FraudCause.MERCHANT) < 0.2  # a few are compromised again: 2 of 2,000 a day


def test_large_amounts_are_fraud_and_a_third_of_a_compromised_cards_payments_are_five_times_larger(
    payments: NDArray[np.void],
) -> None:
    assert np.all(payments["cause"][payments["amount_minor"] > 22_000] > 0)
    assert np.all(payments["amount_minor"][payments["cause"] == FraudCause.LARGE_AMOUNT] > 22_000)
    by_card = payments[payments["cause"] == FraudCause.CARD]
    assert len(by_card) > 100
    assert np.all(by_card["amount_minor"] % 5 == 0)
    days = payments["occurred_at_ms"] // DAY_MS
    shares = []
    for card in np.unique(by_card["card"]):
        of_card = payments["card"] == card
        since = days[of_card & (payments["cause"] == FraudCause.CARD)].min()
        compromised = of_card & (days > since) & (days < since + 10)
        shares += (payments["cause"][compromised] == FraudCause.CARD).tolist()
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.06)


def test_the_data_set_tells_four_things_and_labels_that_are_known_seven_days_later(payments: NDArray[np.void]) -> None:
    dataset = dataset_of(WORLD)
    assert np.array_equal(dataset.kernel["occurred_at_ms"], payments["occurred_at_ms"])
    assert np.array_equal(dataset.kernel["amount_minor"], payments["amount_minor"])
    assert np.array_equal(dataset.is_fraud, payments["cause"] > 0)
    assert np.array_equal(dataset.observed_at_ms, payments["occurred_at_ms"] + 7 * DAY_MS)
    assert {*dataset.columns} == {"row", "occurred_at", "merchant_id", "amount"}
    assert dataset.card_names[dataset.cards].tolist() == [f"card-{card}" for card in payments["card"]]


@pytest.mark.long
def test_a_small_world_is_measured_with_both_sets_of_features() -> None:
    days = PROTOCOL.all_days + 30
    world = CompromiseWorld(seed=3, cards=500, merchants=1_000, days=days)
    result = measure_world(world, lambda step: None)
    assert result.frauds == (world.payments()["cause"] > 0).sum()
    assert len(result.before) == len(result.now) == PROTOCOL.folds
    share = result.frauds / result.transactions
    assert all(min(1.0, 3 * share) < value <= 1.0 for value in result.before + result.now)
    assert result.before != result.now


def test_the_table_has_a_line_per_world_and_the_mean() -> None:
    results = [
        CompromiseResult(seed=1, transactions=9, frauds=1, before=[0.2, 0.4], now=[0.3, 0.5]),
        CompromiseResult(seed=2, transactions=9, frauds=1, before=[0.5], now=[0.6]),
    ]
    assert markdown(results).splitlines()[2:] == [
        "| 1 | 0.300 | 0.400 | +0.100 |",
        "| 2 | 0.500 | 0.600 | +0.100 |",
        "| mean | 0.400 | 0.500 | +0.100 (+0.100 to +0.100) |",
    ]


def test_the_documentation_shows_the_measured_figures() -> None:
    results = msgspec.json.decode((RESULTS / "merchant_compromise.json").read_bytes(), type=list[CompromiseResult])
    assert len(results) == 5
    assert markdown(results) in (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
