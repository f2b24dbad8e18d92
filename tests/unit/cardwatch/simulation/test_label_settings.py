"""Settings of labels: their tails, what is never reported, and labels that are wrong."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from cardwatch.drift.policy import DriftPolicy
from cardwatch.events import LabelSource
from cardwatch.simulation.label_array import SOURCES, LabelArray
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.labels import PendingLabels, newest_labels, simulate_labels
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import DAY_MS, TransactionArray, Typology, transaction_array

COUNT = 20_000
BANK = LabelSettings(chargeback_days=(30, 120))
CUSTOMER, CHARGEBACK, INVESTIGATOR = (SOURCES.index(s) for s in (LabelSource.CUSTOMER, *SOURCES[1:]))


def payments(typology: Typology, *, day: int = 0, count: int = COUNT, amount_minor: int = 5_000) -> TransactionArray:
    made = transaction_array(
        occurred_at_ms=day * DAY_MS + np.arange(count),
        amount_minor=amount_minor,
        card=np.arange(count),
        merchant=np.arange(count),
        device=1,
        channel=3,
    )
    made["typology"] = typology
    return made


def labelled(typology: Typology, settings: LabelSettings, *, day: int = 0, count: int = COUNT) -> LabelArray:
    rng, more = np.random.default_rng(1), np.random.default_rng(2)
    return simulate_labels(rng, more, day, payments(typology, day=day, count=count), settings)


def days_of(labels: LabelArray) -> np.ndarray:
    return (labels["observed_at_ms"] - labels["effective_at_ms"]) / DAY_MS


def test_chargebacks_lie_in_their_days_with_the_geometric_mean_as_median() -> None:
    days = days_of((labels := labelled(Typology.SKIMMING, BANK))[labels["source"] == CHARGEBACK])
    assert 30.0 <= days.min() < 31.0 and 118.0 < days.max() <= 120.0
    assert np.median(days) == pytest.approx(60.0, rel=0.03)  # the square root of 30 * 120
    # A quarter of log(120 / 30) above log(30) is log(30 * 4 ** (1 / 4)).
    assert np.quantile(days, 0.25) == pytest.approx(42.43, rel=0.03)
    assert len(days) / COUNT == pytest.approx(0.35, abs=0.015)


def test_settings_without_an_effect_give_the_usual_labels() -> None:
    without_effect = LabelSettings(corrected_share=1.0, days_ratio=0.5, correction_days=(1, 2))
    for typology in (Typology.GENUINE, Typology.SKIMMING, Typology.BUST_OUT, Typology.FRIENDLY_FRAUD):
        usual, other = (labelled(typology, settings) for settings in (LabelSettings(), without_effect))
        assert usual.tobytes() == other.tobytes()


def test_only_chargebacks_become_later() -> None:
    usual, bank = (labelled(Typology.SKIMMING, settings) for settings in (LabelSettings(), BANK))
    assert np.array_equal(usual["source"], bank["source"])
    others = usual["source"] != CHARGEBACK
    assert np.array_equal(usual[others], bank[others])
    assert np.all(usual["observed_at_ms"][~others] < bank["observed_at_ms"][~others])


def test_a_ratio_of_days_gives_the_same_tail_in_fewer_days() -> None:
    year = labelled(Typology.SKIMMING, BANK)
    quarter = labelled(Typology.SKIMMING, LabelSettings(chargeback_days=(30, 120), days_ratio=0.1))
    late = year["source"] == CHARGEBACK
    assert days_of(quarter[late]) == pytest.approx(0.1 * days_of(year[late]), abs=1e-6)
    assert np.array_equal(quarter[~late], year[~late])


def test_holders_dispute_their_own_purchases_late_and_always() -> None:
    settings = LabelSettings(friendly_fraud_days=(45, 120), unreported_share=1.0, false_clearance_share=1.0)
    labels = labelled(Typology.FRIENDLY_FRAUD, settings)
    assert len(labels) == COUNT and labels["is_fraud"].all() and set(labels["source"]) == {CHARGEBACK}
    assert days_of(labels).min() >= 45.0 and days_of(labels).max() <= 120.0
    assert np.median(days_of(labels)) == pytest.approx((45 * 120) ** 0.5, rel=0.03)
    assert len(labelled(Typology.SKIMMING, settings)) == 0


def test_a_share_of_fraud_is_never_reported_and_the_rest_as_before() -> None:
    usual, fewer = (labelled(Typology.SKIMMING, LabelSettings(unreported_share=share)) for share in (0.0, 0.2))
    assert len(fewer) / COUNT == pytest.approx(0.8, abs=0.015)
    assert np.array_equal(fewer, usual[np.isin(usual["number"], fewer["number"])])


def test_genuine_transactions_are_reported_by_mistake_and_corrected_later() -> None:
    settings = LabelSettings(false_report_share=0.05, corrected_share=0.6, correction_days=(10, 20))
    labels = labelled(Typology.GENUINE, settings)
    accused = labels[labels["is_fraud"]]
    assert len(accused) / COUNT == pytest.approx(0.05, abs=0.008)
    assert set(accused["source"]) == {CUSTOMER}
    answered = labels[~labels["is_fraud"] & np.isin(labels["number"], accused["number"])]
    assert len(answered) / len(accused) == pytest.approx(0.6, abs=0.06)
    assert set(answered["source"]) == {INVESTIGATOR}
    first = dict(zip(accused["number"].tolist(), days_of(accused).tolist(), strict=True))
    after = days_of(answered) - np.array([first[number] for number in answered["number"].tolist()])
    assert after.min() >= 10.0 and after.max() <= 20.0
    newest = newest_labels(labels)
    assert newest["number"].tolist() == sorted(set(labels["number"].tolist()))
    assert newest["is_fraud"].sum() == len(accused) - len(answered)


def test_fraud_is_cleared_by_mistake_and_charged_back_later() -> None:
    settings = LabelSettings(false_clearance_share=0.1, corrected_share=1.0)
    labels = labelled(Typology.SKIMMING, settings)
    excused = labels[~labels["is_fraud"]]
    assert len(excused) / COUNT == pytest.approx(0.1, abs=0.015)
    assert set(excused["source"]) == {INVESTIGATOR}
    corrections = labels[COUNT:]
    assert corrections["number"].tolist() == excused["number"].tolist()
    assert set(corrections["source"]) == {CHARGEBACK}
    assert newest_labels(labels)["is_fraud"].all()


def test_pending_labels_are_those_of_the_tail_however_long_the_simulation_is() -> None:
    pending, per_day = PendingLabels(), 40
    settings = LabelSettings(chargeback_days=(30, 120), days_ratio=0.1)  # 12 days at most
    given = 0
    for day in range(200):
        pending.add(labelled(Typology.SKIMMING, settings, day=day, count=per_day))
        given += len(pending.take_before((day + 1) * DAY_MS))
        assert len(pending) <= 13 * per_day
    assert given + len(pending) == 200 * per_day


def test_the_settings_of_labels_change_no_transaction() -> None:
    changed = LabelSettings(
        chargeback_days=(3, 12), friendly_fraud_days=(5, 12), unreported_share=0.3, false_report_share=0.01
    )
    settings = SimulationSettings(seed=3, cards=200, fraud_share=0.02)
    usual = Simulation(settings)
    other = Simulation(SimulationSettings(seed=3, cards=200, fraud_share=0.02, labels=changed))
    for number in range(6):
        days = usual.simulate_day(number), other.simulate_day(number)
        assert days[0].transactions.tobytes() == days[1].transactions.tobytes()
        assert days[0].reports.tobytes() != days[1].reports.tobytes()


def test_the_usual_maturity_is_the_default_of_the_policy() -> None:
    assert LabelSettings().maturity_days == DriftPolicy().maturity_days


@pytest.mark.parametrize(("ratio", "most"), [(1.0, 120.0), (0.5, 60.0), (0.1, 12.0)])
def test_the_maturity_covers_99_in_100_reports(ratio: float, most: float) -> None:
    settings = LabelSettings(chargeback_days=(30, 120), days_ratio=ratio)
    days = days_of(labelled(Typology.SKIMMING, settings, count=60_000))
    assert np.mean(days <= settings.maturity_days) > 0.988
    # One chargeback in 35 may be later: it lies in the last part 0.01 / 0.35 of the logarithms of 30 to 120 days.
    assert log(settings.maturity_days) >= log(most) - 0.01 / 0.35 * log(4.0) - 1e-9
    assert settings.maturity_days <= most


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unreported_share", 1.5),
        ("false_report_share", -0.1),
        ("false_clearance_share", float("nan")),
        ("corrected_share", 2.0),
        ("days_ratio", 0.0),
        ("chargeback_days", (120, 30)),
        ("friendly_fraud_days", (0, 30)),
        ("correction_days", (5, 5_000)),
    ],
)
def test_a_value_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field}="):
        LabelSettings(**{field: value})  # type: ignore[arg-type]
