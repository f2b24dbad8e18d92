"""The cost policy: feasible and cheapest actions, and the probability that it calls alarming."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, ChannelShares, DecisionPolicy
from cardwatch.events import Action


def nothing_or(least: float, most: float) -> st.SearchStrategy[float]:
    return st.just(0.0) | st.floats(least, most)


SHARES = st.floats(0.0, 1.0)
CHANNEL_SHARES = st.builds(ChannelShares, **dict.fromkeys(ChannelShares.__struct_fields__, SHARES))
POLICIES = st.builds(
    DecisionPolicy,
    challenge_cost_minor=nothing_or(0.01, 1e6),
    challenge_stops_fraud=nothing_or(0.01, 1.0),
    challenge_channels=st.sets(st.sampled_from(CHANNELS)).map(tuple),
    decline_cost_minor=nothing_or(0.01, 1e7),
    lost_margin=nothing_or(0.001, 1.0),
    liability=CHANNEL_SHARES,
    liability_after_challenge=CHANNEL_SHARES,
    chargeback_fee_minor=nothing_or(0.01, 1e4),
    alert_cost_minor=nothing_or(0.01, 1e4),
    alert_price_minor=nothing_or(0.01, 1e5),
)
ROWS = st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, len(CHANNELS) - 1), SHARES), min_size=1, max_size=20)
CLEARLY = 1.0 + 1e-6


def columns(
    rows: list[tuple[int, int, float]],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Amounts, channels and probabilities."""
    amounts, channels, probabilities = zip(*rows, strict=True)
    return np.array(amounts, np.float64), np.array(channels, np.int64), np.array(probabilities, np.float64)


def plain_costs(policy: DecisionPolicy, probability: float, amount: float, channel: int) -> dict[Action, float]:
    """The expected costs of the feasible actions, in plain Python, from the keys of the policy."""
    name, genuine = CHANNELS[channel].value, 1.0 - probability
    fraud = probability * amount
    alert = float(policy.alert_cost_minor + policy.alert_price_minor)
    costs = {
        Action.APPROVE: fraud * getattr(policy.liability, name) + probability * policy.chargeback_fee_minor,
        Action.DECLINE: genuine * (policy.decline_cost_minor + policy.lost_margin * amount) + alert,
    }
    if CHANNELS[channel] in policy.challenge_channels:
        passed = (1.0 - policy.challenge_stops_fraud) * getattr(policy.liability_after_challenge, name)
        costs[Action.CHALLENGE] = fraud * passed + genuine * policy.challenge_cost_minor + alert
    return costs


@settings(max_examples=300, deadline=None)
@given(policy=POLICIES, rows=ROWS)
def test_the_action_is_feasible_and_the_cheapest_by_the_bits_of_plain_arithmetic(
    policy: DecisionPolicy, rows: list[tuple[int, int, float]]
) -> None:
    amounts, channels, probabilities = columns(rows)
    actions = policy.decide(probabilities, amounts, channels)
    expected = policy.expected_costs(probabilities, amounts, channels)
    for action, costs, probability, amount, channel in zip(
        actions, expected.tolist(), probabilities.tolist(), amounts.tolist(), channels.tolist(), strict=True
    ):
        plain = plain_costs(policy, probability, amount, channel)
        assert dict(zip(ACTIONS, costs, strict=True)) == {Action.CHALLENGE: np.inf} | plain
        mildest_first = [action for action in ACTIONS if action in plain]
        assert action is min(mildest_first, key=plain.__getitem__)


@settings(max_examples=300, deadline=None)
@given(policy=POLICIES, rows=ROWS, share=SHARES)
def test_every_probability_below_the_alarming_one_is_approved(
    policy: DecisionPolicy, rows: list[tuple[int, int, float]], share: float
) -> None:
    amounts, channels, _ = columns(rows)
    alarming = policy.alarming_probabilities(amounts, channels)
    assert np.all((alarming >= 0.0) & (alarming < 1.0))
    for probabilities in (share * alarming, np.nextafter(alarming, -1.0)):
        below = (probabilities < alarming) & (probabilities >= 0.0)
        actions = policy.decide(probabilities[below], amounts[below], channels[below])
        assert set(actions) <= {Action.APPROVE}


@settings(max_examples=300, deadline=None)
@given(policy=POLICIES, rows=ROWS, share=SHARES)
def test_every_probability_clearly_above_the_alarming_one_is_challenged_or_declined(
    policy: DecisionPolicy, rows: list[tuple[int, int, float]], share: float
) -> None:
    """Save where approving is never clearly dearer: nothing is at stake, or a challenge moves as much as it stops."""
    amounts, channels, _ = columns(rows)
    alarming = policy.alarming_probabilities(amounts, channels)
    least = np.maximum(alarming * CLEARLY, 1e-9)
    loss, fee, passed, *_ = policy.costs[channels].T
    clear = (least <= 1.0) & (loss * amounts + fee > 1e-3) & (loss - passed > 1e-3)
    for probabilities in (least, least + share * (1.0 - least)):
        actions = policy.decide(probabilities[clear], amounts[clear], channels[clear])
        assert Action.APPROVE not in actions


@settings(max_examples=200, deadline=None)
@given(policy=POLICIES, rows=ROWS, more=st.floats(0.0, 1e6))
def test_a_higher_price_of_an_alert_never_raises_another_alert(
    policy: DecisionPolicy, rows: list[tuple[int, int, float]], more: float
) -> None:
    amounts, channels, probabilities = columns(rows)
    dearer = structs.replace(policy, alert_price_minor=policy.alert_price_minor + more)
    for before, after in zip(
        policy.decide(probabilities, amounts, channels),
        dearer.decide(probabilities, amounts, channels),
        strict=True,
    ):
        assert before is not Action.APPROVE or after is Action.APPROVE
