"""The control share: which would-be declines are approved, how they are marked, and what that costs."""

from __future__ import annotations

from math import nan

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.decision.control_share import ControlSample, ControlShare
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.decision.decide import DegradationCause, DegradedReason, Outcome, ScorableRows, ScoreRows, decide
from cardwatch.decision.exploration_price import exploration_price
from cardwatch.decision.folding import cards_of, fold_transactions
from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition
from cardwatch.events import Action, Channel, Transaction
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import Scores
from cardwatch.warm_up import EXAMPLE

KEY = b"a key that only the test knows"
POLICY = DecisionPolicy(control=ControlShare(share=0.25, cap_minor=10_000))
PAYMENTS = [
    structs.replace(EXAMPLE, transaction_id=f"t-{number}", card_id=f"c-{number}", amount_minor=5_000)
    for number in range(40)
]


class Tables:
    """An empty table for every day."""

    def newest(self, _: object) -> ReferenceTable:
        return ReferenceTable.empty()


def scores_of(probability: float) -> ScoreRows:
    def score_rows(rows: ScorableRows) -> Scores:
        return Scores(
            model_version="1",
            model_digest="",
            margins=np.zeros(len(rows.features), np.float32),
            probabilities=np.full(len(rows.features), probability),
            reasons=[["AMOUNT"]] * len(rows.features),
        )

    return score_rows


def outcomes(policy: DecisionPolicy, payments: list[Transaction], score_rows: ScoreRows, key: bytes) -> list[Outcome]:
    cards, card_index = cards_of(payments)
    folded = fold_transactions(Tables(), empty_states(len(cards)), card_index, payments)
    return decide(policy, folded, score_rows, control=ControlSample(key))


def control_ids(policy: DecisionPolicy, payments: list[Transaction], score_rows: ScoreRows, key: bytes) -> set[str]:
    decided = zip(payments, outcomes(policy, payments, score_rows, key), strict=True)
    return {payment.transaction_id for payment, outcome in decided if outcome.control_propensity is not None}


def test_the_chosen_declines_are_approved_with_their_propensity_and_without_reasons() -> None:
    sample = ControlSample(KEY)
    made = outcomes(POLICY, PAYMENTS, scores_of(0.9), KEY)
    chosen = [sample.contains(payment.transaction_id, 0.25) for payment in PAYMENTS]
    assert 0 < sum(chosen) < len(PAYMENTS)
    for outcome, is_chosen in zip(made, chosen, strict=True):
        assert outcome.model_action is Action.DECLINE
        if is_chosen:
            assert (outcome.action, outcome.reasons, outcome.control_propensity) == (Action.APPROVE, [], 0.25)
        else:
            assert (outcome.action, outcome.reasons, outcome.control_propensity) == (Action.DECLINE, ["AMOUNT"], None)


def test_what_is_no_decline_of_the_model_is_left_alone() -> None:
    all_of_them = structs.replace(POLICY, control=ControlShare(share=1.0, cap_minor=10_000))
    assert not control_ids(all_of_them, PAYMENTS, scores_of(0.0), KEY)
    online = [structs.replace(payment, channel=Channel.ECOMMERCE) for payment in PAYMENTS]
    assert not control_ids(all_of_them, online, scores_of(0.1), KEY)  # challenged
    away = DegradedReason(DegradationCause.SCORING, "no answer")
    assert not control_ids(all_of_them, PAYMENTS, lambda *_: away, KEY)


def test_amounts_above_the_cap_are_declined_in_the_currency_of_the_policy() -> None:
    policy = DecisionPolicy(currency="USD", rates={"EUR": 2.0}, control=ControlShare(share=1.0, cap_minor=10_000))
    payments = [
        structs.replace(PAYMENTS[0], transaction_id=str(amount), amount_minor=amount) for amount in (5_000, 5_001)
    ]
    assert control_ids(policy, payments, scores_of(0.95), KEY) == {"5000"}


def test_the_cap_applies_to_each_transaction_where_rules_decide_others_between_them() -> None:
    policy = DecisionPolicy(currency="EUR", rates={"USD": 2.0}, control=ControlShare(share=1.0, cap_minor=10_000))
    amounts = [("JPY", 1), ("EUR", 10_001), ("JPY", 1), ("USD", 5_000), ("EUR", 10_000), ("JPY", 1), ("USD", 5_001)]
    payments = [
        structs.replace(PAYMENTS[0], transaction_id=f"{currency} {amount} {i}", currency=currency, amount_minor=amount)
        for i, (currency, amount) in enumerate(amounts)
    ]
    assert control_ids(policy, payments, scores_of(0.95), KEY) == {"USD 5000 3", "EUR 10000 4"}


def test_a_decline_that_a_rule_of_the_policy_file_wants_is_never_approved() -> None:
    rule = OverlayRule(
        reason="POLICY_ALL", action=Action.DECLINE, when=(RuleCondition(name="country", one_of=("DE",)),)
    )
    policy = structs.replace(POLICY, rules=(rule,), control=ControlShare(share=1.0, cap_minor=10_000))
    made = outcomes(policy, PAYMENTS, scores_of(0.9), KEY)
    assert {outcome.action for outcome in made} == {Action.DECLINE}
    assert made[0].reasons == ["POLICY_ALL", "AMOUNT"]


@given(
    ids=st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), min_size=1, unique=True),
    probability=st.floats(0.6, 1.0),
    amount=st.integers(3_000, 9_000),
    channel=st.sampled_from([Channel.CHIP, Channel.ATM]),
)
def test_the_choice_depends_on_id_and_key_alone(
    ids: list[str], probability: float, amount: int, channel: Channel
) -> None:
    payments = [
        structs.replace(EXAMPLE, transaction_id=each, card_id=f"c-{i}", amount_minor=amount, channel=channel)
        for i, each in enumerate(ids)
    ]
    sample = ControlSample(KEY)
    expected = {each for each in ids if sample.contains(each, 0.25)}
    assert control_ids(POLICY, payments, scores_of(probability), KEY) == expected
    assert control_ids(POLICY, payments[::-1], scores_of(probability), KEY) == expected


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_share_of_chosen_ids_is_the_propensity(share: float) -> None:
    # 20,000 draws: five standard deviations are 5 * sqrt(p (1 - p) / 20000).
    sample = ControlSample(KEY)
    chosen = np.mean([sample.contains(f"t-{number}", share) for number in range(20_000)])
    assert abs(chosen - share) < 5 * (share * (1 - share) / 20_000) ** 0.5


def test_a_larger_share_keeps_those_chosen_and_another_key_chooses_others() -> None:
    ids = [f"t-{number}" for number in range(500)]
    by_key = {key: {each for each in ids if ControlSample(key).contains(each, 0.1)} for key in (KEY, KEY[::-1])}
    assert by_key[KEY] != by_key[KEY[::-1]]
    assert by_key[KEY] <= {each for each in ids if ControlSample(KEY).contains(each, 0.2)}


def test_a_share_without_a_cap_a_short_key_and_a_missing_sample_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="cap_minor"):
        msgspec.convert({"share": 0.1}, ControlShare)
    with pytest.raises(ValueError, match="16 bytes"):
        ControlSample(b"short")
    cards, card_index = cards_of(PAYMENTS[:1])
    folded = fold_transactions(Tables(), empty_states(len(cards)), card_index, PAYMENTS[:1])
    with pytest.raises(ValueError, match="control share"):
        decide(POLICY, folded, scores_of(0.9))


def test_the_share_and_the_cap_are_part_of_the_version_and_the_key_is_not() -> None:
    assert len({POLICY.version, structs.replace(POLICY, control=ControlShare()).version, DecisionPolicy().version}) == 2


def test_the_price_of_exploration_is_the_loss_of_approving_less_the_cost_of_declining() -> None:
    # At 0.9 and 10000: approving costs 9000, declining 0.1 * (500 + 500) = 100. The second row was declined.
    price = exploration_price(
        POLICY,
        np.array([0.9, 0.9]),
        np.array([10_000.0, 10_000.0]),
        np.full(2, CHANNELS.index(Channel.CHIP)),
        np.array([0.25, nan]),
    )
    assert price.rows == 1
    assert price.fraud_minor == pytest.approx(9_000)
    assert price.price_minor == pytest.approx(8_900)
