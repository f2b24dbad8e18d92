"""What a verdict judges is what the decision path does: with rules, a control share and several currencies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from adapters.archive.policy_amounts import amounts_in_currency_of
from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, channels_of
from cardwatch.decision.decide import ScorableRows, decide
from cardwatch.decision.folding import cards_of, fold_transactions
from cardwatch.decision.overlay_rules import strictest_actions
from cardwatch.decision.policy_actions import (
    actions_by_model,
    actions_by_rules,
    control_propensities,
    costs_under_labels,
)
from cardwatch.events import Action, Transaction
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.features.state import empty_states
from cardwatch.ports import Scores
from cardwatch.warm_up import EXAMPLE
from tests.properties.arbitrary_policies import KEY, PAYMENTS, POLICIES, Tables


def as_table(payments: list[Transaction]) -> pa.Table:
    names = ("amount_minor", "currency", "country", "merchant_category", "card_range")
    columns = {name: [getattr(payment, name) for payment in payments] for name in names}
    channels = [payment.channel.value for payment in payments]
    return pa.table({**columns, "card_range": pa.array(columns["card_range"], pa.string()), "channel": channels})


@settings(max_examples=200, deadline=None)
@given(policy=POLICIES, fields=PAYMENTS, seed=st.integers(0, 2**32 - 1))
def test_judged_actions_are_those_of_the_decision_path(
    policy: DecisionPolicy, fields: list[dict[str, object]], seed: int
) -> None:
    payments: list[Transaction] = [
        structs.replace(EXAMPLE, transaction_id=f"t-{number}", **each) for number, each in enumerate(fields)
    ]
    probability_of = {
        payment.transaction_id: probability
        for payment, probability in zip(payments, np.random.default_rng(seed).random(len(payments)) ** 2, strict=True)
    }

    def score_rows(rows: ScorableRows) -> Scores:
        chosen = [probability_of[transaction.transaction_id] for transaction in rows.transactions]
        return Scores(
            model_version="1",
            model_digest="",
            margins=np.zeros(len(chosen), np.float32),
            probabilities=np.array(chosen),
            reasons=[[]] * len(chosen),
        )

    cards, card_index = cards_of(payments)
    folded = fold_transactions(Tables(), empty_states(len(cards)), card_index, payments)
    taken = decide(policy, folded, score_rows, control=KEY)

    table, features = as_table(payments), folded.rows.features
    amounts, channels = amounts_in_currency_of(policy, table), channels_of(features)
    overlay = strictest_actions(policy.rules, features, lambda name: table[name].to_pylist(), policy.challenge_channels)
    judged = np.where(
        np.isnan(amounts),
        actions_by_rules(policy, features, overlay),
        actions_by_model(policy, np.array(list(probability_of.values())), amounts, channels, overlay),
    )
    shares = control_propensities(policy, judged, overlay, amounts)
    for outcome, payment, place, share in zip(taken, payments, judged.tolist(), shares.tolist(), strict=True):
        approved = KEY.contains(payment.transaction_id, share)
        expected: Action = Action.APPROVE if approved else ACTIONS[place]
        assert (outcome.action, outcome.control_propensity) == (expected, share if approved else None), payment


@settings(max_examples=100, deadline=None)
@given(policy=POLICIES, seed=st.integers(0, 2**32 - 1))
def test_degraded_rules_over_columns_challenge_the_rows_that_they_challenge_singly(
    policy: DecisionPolicy, seed: int
) -> None:
    random = np.random.default_rng(seed)
    features = random.choice(np.array([np.nan, 0.0, 1.0, 5.0, 2_000.0], np.float32), (50, len(FEATURE_NAMES)))
    singly = [policy.decide_by_rules(row[None])[0] == [Action.CHALLENGE] for row in features]
    assert policy.are_challenged_by_rules(features).tolist() == singly


def test_the_cost_is_the_expectation_over_the_control_share() -> None:
    # A decline of 100.00 costs nothing if it is fraud, and 500 + 5 % if not. An approved fraud costs 10,000.
    policy = DecisionPolicy(control=ControlShare(share=0.25, cap_minor=10_000))
    place = {action: number for number, action in enumerate(ACTIONS)}
    actions = np.array([place[Action.DECLINE]] * 4 + [place[Action.APPROVE]], np.int8)
    overlay = np.array([0, 0, 0, place[Action.CHALLENGE], 0], np.int8)
    costs = costs_under_labels(
        policy,
        actions,
        overlay,
        is_fraud=np.array([True, False, True, True, True]),
        amounts_minor=np.array([10_000.0, 10_000.0, 10_001.0, 10_000.0, 10_000.0]),
        channels=np.zeros(5, np.int64),
    )
    # A quarter of the first is approved. The third is above the cap, and a rule has touched the fourth.
    assert costs.tolist() == pytest.approx([2_500.0, 750.0, 0.0, 0.0, 10_000.0])
