"""The cost policy: below the probability that it calls alarming nothing is stopped, and above it everything is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import Action


def nothing_or(least: float, most: float) -> st.SearchStrategy[float]:
    return st.just(0.0) | st.floats(least, most)


POLICIES = st.builds(
    DecisionPolicy,
    challenge_cost_minor=nothing_or(0.01, 1e6),
    challenge_stops_fraud=nothing_or(0.01, 1.0),
    decline_cost_minor=nothing_or(0.01, 1e7),
    lost_margin=nothing_or(0.001, 1.0),
)
AMOUNTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=20)
SHARES = st.floats(0.0, 1.0)
CLEARLY = 1.0 + 1e-6


def array(values: list[int]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


@settings(max_examples=400, deadline=None)
@given(policy=POLICIES, amounts_minor=AMOUNTS.map(array), share=SHARES)
def test_every_probability_below_the_alarming_one_is_approved(
    policy: DecisionPolicy, amounts_minor: NDArray[np.float64], share: float
) -> None:
    alarming = policy.alarming_probabilities(amounts_minor)
    assert np.all((alarming >= 0.0) & (alarming < 1.0))
    for probabilities in (share * alarming, np.nextafter(alarming, -1.0)):
        below = (probabilities < alarming) & (probabilities >= 0.0)
        actions = policy.decide(probabilities[below], amounts_minor[below])
        assert set(actions) <= {Action.APPROVE}


@settings(max_examples=400, deadline=None)
@given(policy=POLICIES, amounts_minor=AMOUNTS.map(array), share=SHARES)
def test_every_probability_clearly_above_the_alarming_one_is_challenged_or_declined(
    policy: DecisionPolicy, amounts_minor: NDArray[np.float64], share: float
) -> None:
    """Save where approving is never dearer: nothing is at stake, or a challenge is free and stops nothing."""
    alarming = policy.alarming_probabilities(amounts_minor)
    least = np.maximum(alarming * CLEARLY, 1e-9)
    is_idle = policy.challenge_cost_minor == policy.challenge_stops_fraud == 0.0
    clear = (least <= 1.0) & (amounts_minor > 0) & (not is_idle)
    for probabilities in (least, least + share * (1.0 - least)):
        actions = policy.decide(probabilities[clear], amounts_minor[clear])
        assert Action.APPROVE not in actions
