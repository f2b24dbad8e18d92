"""The price of an alert keeps the number of alerts at the capacity, also on days that it was not chosen on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.decision.alert_capacity import alert_price_minor, savings_of_alerts
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.events import Action, Channel


def alerts(policy: DecisionPolicy, rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> int:
    return sum(action is not Action.APPROVE for action in policy.decide(*rows))


def random_rows(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = random.beta(0.05, 3.0, count)
    return probabilities, np.round(random.lognormal(8.0, 1.0, count)), random.integers(0, len(CHANNELS), count)


def test_the_price_lies_above_the_saving_of_the_first_alert_too_many() -> None:
    # Online, a challenge saves 0.9 p amount - 100 (1 - p): 350, 800 and 1250 at p = 0.5.
    amounts = np.array([1_000.0 - 111.111111, 1_888.888889, 2_888.888889])
    savings = savings_of_alerts(
        DecisionPolicy(decline_cost_minor=1e9),
        np.full(3, 0.5),
        amounts,
        np.full(3, CHANNELS.index(Channel.ECOMMERCE)),
    )
    np.testing.assert_allclose(savings, [350.0, 800.0, 1_250.0], atol=1e-3)
    assert alert_price_minor(savings, 1) == pytest.approx(800.0)
    assert alert_price_minor(savings, 3) == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), capacity=st.integers(0, 300), before=st.sampled_from([0.0, 40.0]))
def test_at_the_price_there_are_as_many_alerts_as_the_capacity_allows(seed: int, capacity: int, before: float) -> None:
    rows = random_rows(seed, 2_000)
    policy = DecisionPolicy(alert_price_minor=before)
    priced = structs.replace(policy, alert_price_minor=alert_price_minor(savings_of_alerts(policy, *rows), capacity))
    free = structs.replace(policy, alert_price_minor=0.0)
    assert alerts(priced, rows) == min(capacity, alerts(free, rows))


def test_on_held_out_days_the_alerts_stay_near_the_capacity() -> None:
    chosen_on, held_out = random_rows(1, 7 * 10_000), random_rows(2, 7 * 10_000)
    price = alert_price_minor(savings_of_alerts(DecisionPolicy(), *chosen_on), 7 * 100)
    found = alerts(DecisionPolicy(alert_price_minor=price), held_out)
    assert found == pytest.approx(700, abs=5 * 700**0.5)  # Poisson counts on both sides: less than five deviations
