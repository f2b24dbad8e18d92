from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardwatch.events import Transaction, decode, encode
from cardwatch.simulation.fraud.reactions import EpsilonGreedyBandit, options_of, tactic_of
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import EventsOfDay, Simulation

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**63)


def events(days: int, **changed: object) -> list[EventsOfDay]:
    simulation = Simulation(SimulationSettings(**{"cards": 80, "merchants": 220, "fraud_share": 0.03, **changed}))
    return [simulation.day(number) for number in range(days)]


@few
@given(seed=seeds, change_day=st.none() | st.integers(0, 5))
def test_the_same_settings_give_the_same_events(seed: int, change_day: int | None) -> None:
    assert events(5, seed=seed, change_day=change_day) == events(5, seed=seed, change_day=change_day)


@few
@given(seed=seeds, change_day=st.integers(1, 5))
def test_the_change_has_no_effect_on_days_before_it(seed: int, change_day: int) -> None:
    changed, unchanged = events(6, seed=seed, change_day=change_day), events(6, seed=seed)
    assert changed[:change_day] == unchanged[:change_day]
    assert changed[change_day] != unchanged[change_day]


@few
@given(seed=seeds)
def test_another_seed_gives_other_events(seed: int) -> None:
    assert events(1, seed=seed) != events(1, seed=seed + 1)


@few
@given(seed=seeds, cards=st.integers(50, 120), merchants=st.integers(200, 400), change_day=st.integers(0, 3))
def test_every_simulation_satisfies_the_contracts(seed: int, cards: int, merchants: int, change_day: int) -> None:
    for day in events(4, seed=seed, cards=cards, merchants=merchants, change_day=change_day):
        assert len(day.truth) == len(day.transactions)
        assert [t.occurred_at for t in day.transactions] == sorted(t.occurred_at for t in day.transactions)
        assert all(t.occurred_at.date() == day.day for t in day.transactions)
        assert all(decode(encode(t), Transaction) == t for t in day.transactions)
        assert all(label.observed_at.date() == day.day for label in day.labels)


shares = st.floats(0.0, 1.0)
ranges = st.tuples(st.floats(0.1, 30.0), st.floats(0.0, 90.0)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@few
@given(
    labels=st.builds(
        LabelSettings,
        chargeback_days=st.none() | ranges,
        friendly_fraud_days=st.none() | ranges,
        days_ratio=st.floats(0.01, 1.0),
        unreported_share=shares,
        false_report_share=shares,
        false_clearance_share=shares,
        corrected_share=shares,
        correction_days=ranges,
    )
)
def test_any_labels_come_once_with_at_most_one_correction_after_them(labels: LabelSettings) -> None:
    simulation = Simulation(SimulationSettings(seed=1, cards=80, merchants=220, fraud_share=0.03, labels=labels))
    for number in range(3):
        day = simulation.simulate_day(number)
        assert np.all(day.reports["observed_at_ms"] > day.reports["effective_at_ms"])
        ordered = day.reports[np.lexsort((day.reports["observed_at_ms"], day.reports["number"]))]
        corrects = ordered["number"][1:] == ordered["number"][:-1]
        assert np.all(ordered["is_fraud"][1:][corrects] != ordered["is_fraud"][:-1][corrects])
        assert not np.any(corrects[1:] & corrects[:-1])  # no third label


@given(
    learned=st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 1.0)), max_size=60),
    highest=st.tuples(*[st.floats(0.01, 1.0)] * 3),
)
def test_the_probabilities_of_a_bandit_are_valid(learned: list[tuple[int, float]], highest: tuple[float, ...]) -> None:
    bandit = EpsilonGreedyBandit(highest)
    for option, reward in learned:
        bandit.learn(option, reward * highest[option])
    probabilities = bandit.probabilities()
    assert probabilities.sum() == pytest.approx(1.0)
    assert np.all(probabilities >= 0.1 / 3 - 1e-12)
    assert 0 <= bandit.choose(np.random.default_rng(len(learned))) < 3


@given(tactic=st.integers(0, 35))
def test_a_tactic_is_its_options(tactic: int) -> None:
    assert tactic_of(*options_of(tactic)) == tactic
