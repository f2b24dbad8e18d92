"""Arbitrary policies, and payments that they decide, for properties of the decision path."""

from __future__ import annotations

from hypothesis import strategies as st

from cardwatch.decision.control_share import ControlSample, ControlShare
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition
from cardwatch.events import Action, Channel
from cardwatch.features.reference_table import ReferenceTable

KEY = ControlSample(b"a key that only the test knows")
CONDITIONS = st.one_of(
    st.sampled_from(
        [
            RuleCondition(name="country", one_of=("DE", "FR")),
            RuleCondition(name="channel", one_of=("ecommerce", "atm")),
            RuleCondition(name="currency", one_of=("JPY",)),
            RuleCondition(name="card_range", one_of=("r-1",)),
            RuleCondition(name="merchant_category", one_of=("5411",)),
            RuleCondition(name="is_ecommerce", at_least=0.5),
            RuleCondition(name="device_is_new", at_least=0.5),
        ]
    ),
    st.floats(0.0, 2_000.0).map(lambda least: RuleCondition(name="amount", at_least=least)),
)


@st.composite
def rules(draw: st.DrawFn) -> OverlayRule:
    action = draw(st.sampled_from([Action.CHALLENGE, Action.DECLINE]))
    return OverlayRule(
        reason=f"POLICY_{draw(st.integers(0, 99))}",
        action=action,
        when=tuple(draw(st.lists(CONDITIONS, min_size=1, max_size=2))),
        else_decline=action is Action.CHALLENGE and draw(st.booleans()),
    )


POLICIES = st.builds(
    DecisionPolicy,
    currency=st.sampled_from([None, "EUR"]),
    rates=st.sampled_from([{}, {"JPY": 0.6}]),
    challenge_cost_minor=st.sampled_from([0.0, 100.0]),
    challenge_channels=st.sets(st.sampled_from(CHANNELS)).map(tuple),
    decline_cost_minor=st.sampled_from([0.0, 500.0]),
    alert_price_minor=st.sampled_from([0.0, 50.0]),
    rules=st.lists(rules(), max_size=3).map(tuple),
    control=st.just(ControlShare())
    | st.builds(ControlShare, share=st.floats(0.01, 1.0), cap_minor=st.floats(1.0, 200_000.0)),
)
PAYMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "card_id": st.sampled_from(["c-1", "c-2"]),
            "amount_minor": st.integers(1, 300_000),
            "currency": st.sampled_from(["EUR", "JPY", "XTS"]),
            "channel": st.sampled_from(Channel),
            "country": st.sampled_from(["DE", "FR", "US"]),
            "merchant_category": st.sampled_from(["5411", "5732"]),
            "card_range": st.sampled_from([None, "r-1", "r-2"]),
        }
    ),
    min_size=1,
    max_size=12,
)


class Tables:
    """An empty table for every day."""

    def newest(self, _: object) -> ReferenceTable:
        return ReferenceTable.empty()
