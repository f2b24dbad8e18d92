"""What would have changed, in figures that are computed by hand."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.decision.what_if_figures import Changes, ComparedRows, changes_of
from cardwatch.events import Channel
from cardwatch.label_states import LabelState
from cardwatch.recall_bounds import Bounds

APPROVE, CHALLENGE, DECLINE = 0, 1, 2
COSTS = DecisionPolicy(
    currency="EUR",
    challenge_cost_minor=100.0,
    challenge_stops_fraud=0.75,
    decline_cost_minor=500.0,
    lost_margin=0.1,
    alert_price_minor=1e6,  # a price of capacity, which is no money
)
"""Approved fraud costs its amount. A genuine customer who is challenged costs 100, one who is declined 500 and 10 %."""
ROWS = [
    (APPROVE, DECLINE, 10_000.0, LabelState.KNOWN_FRAUD, 1),
    (APPROVE, DECLINE, 2_000.0, LabelState.PRESUMED_GENUINE, 0),
    (DECLINE, APPROVE, 4_000.0, LabelState.CENSORED, 1),
    (CHALLENGE, CHALLENGE, 1_000.0, LabelState.PRESUMED_GENUINE, 0),
    (APPROVE, DECLINE, 9_000.0, LabelState.IMMATURE, -1),
    (DECLINE, DECLINE, np.nan, LabelState.CENSORED, 1),  # in a currency without a rate
]
"""The recorded action, that instead, the amount, what is known and the true typology: skimming is 1."""


def changes(
    rows: list[tuple[int, int, float, LabelState, int]], released: float = 0.0, names: tuple[str, ...] = ()
) -> Changes:
    recorded, instead, amounts, states, typologies = zip(*rows, strict=True)
    compared = ComparedRows(
        recorded=np.array(recorded, np.int8),
        instead=np.array(instead, np.int8),
        released=np.full(len(rows), released),
        was_control=np.zeros(len(rows), np.bool_),
        amounts_minor=np.array(amounts),
        channels=np.full(len(rows), CHANNELS.index(Channel.ECOMMERCE)),
        states=np.array(states, np.int8),
        typologies=np.array(typologies),
    )
    return changes_of(compared, COSTS, names, [name != "genuine" for name in names])


def test_labels_give_bounds_where_a_decline_has_no_outcome() -> None:
    found = changes(ROWS)
    before, after = found.recorded.by_labels, found.instead.by_labels
    # The censored decline of 40.00 may have been fraud that was stopped, and is missed then if it is approved.
    assert (before.frauds_caught, after.frauds_caught) == (Bounds(0, 1), Bounds(1, 1))
    assert (before.value_caught_minor, after.value_caught_minor) == (Bounds(0, 4_000), Bounds(10_000, 10_000))
    assert (before.value_missed_minor, after.value_missed_minor) == (Bounds(10_000, 10_000), Bounds(0, 4_000))
    assert (before.recall, after.recall) == (Bounds(0, 0.5), Bounds(0.5, 1))
    # Alerts that are mature and have a price: the third and the fourth row before, the first two and the fourth after.
    assert (before.alerts_per_fraud_caught, after.alerts_per_fraud_caught) == (Bounds(2, inf), Bounds(3, 3))


def test_the_bounds_of_a_difference_take_each_censored_row_the_same_way_on_both_sides() -> None:
    found = changes(ROWS)
    # Before: 10,000 for the fraud, 100 for the challenge, and 500 + 400 for the decline, or 0 if it was fraud.
    assert found.recorded.by_labels.cost_minor == pytest.approx(Bounds(10_100, 11_000))
    # After: 500 + 200 for the declined customer, 100 for the challenge, and 0 or 4,000 for the approval.
    assert found.instead.by_labels.cost_minor == pytest.approx(Bounds(800, 4_800))
    # -10,000 + 700, and -900 or +4,000. The bounds of the two sums alone would allow -10,200 to -5,300 as well.
    assert found.cost_minor == pytest.approx(Bounds(-10_200, -5_300))


def test_actions_of_all_rows_are_counted_and_moved() -> None:
    found = changes(ROWS)
    assert (found.rows, found.unpriced) == (6, 1)
    assert (found.recorded.actions.approve, found.recorded.actions.alerts) == (3, 3)
    assert (found.instead.actions.approve, found.instead.actions.alerts) == (1, 5)
    assert found.moves == ((0, 0, 3), (0, 1, 0), (1, 0, 1))
    now = found.now_approved
    assert (now.rows, now.value_minor, now.unknown, now.unknown_value_minor) == (1, 4_000, 1, 4_000)
    assert (found.coverage.censored, found.coverage.immature) == (2, 1)
    assert found.recorded.by_truth is None and found.true_cost_minor is None and found.typologies == ()


def test_the_truth_gives_figures_without_bounds_and_by_typology() -> None:
    found = changes(ROWS, names=("genuine", "skimming", "relay_attack"))
    assert found.in_truth == 4
    before, after = found.recorded.by_truth, found.instead.by_truth
    assert before is not None and after is not None
    assert (before.frauds_caught, before.value_caught_minor, before.value_missed_minor) == (1, 4_000, 10_000)
    assert (after.frauds_caught, after.value_caught_minor, after.value_missed_minor) == (1, 10_000, 4_000)
    assert (before.alerts_per_fraud_caught, after.alerts_per_fraud_caught) == (2, 3)
    assert (before.cost_minor, after.cost_minor) == pytest.approx((10_100, 4_800))
    assert found.true_cost_minor == pytest.approx(-5_300)
    [skimming] = found.typologies  # a typology without fraud has no line
    assert (skimming.typology, skimming.frauds, skimming.value_minor) == ("skimming", 2, 14_000)
    assert (skimming.caught_recorded, skimming.caught_instead) == (1, 1)
    assert (skimming.missed_recorded_minor, skimming.missed_instead_minor) == (10_000, 4_000)


def test_a_control_share_that_nobody_can_draw_is_an_expectation() -> None:
    found = changes([(DECLINE, DECLINE, 10_000.0, LabelState.KNOWN_FRAUD, -1)], released=0.25)
    counts = found.instead.actions
    assert (counts.approve, counts.decline, counts.control) == (0.25, 0.75, 0.25)
    assert found.instead.by_labels.frauds_caught == Bounds(0.75, 0.75)
    assert found.cost_minor == Bounds(2_500, 2_500)
    assert found.now_approved.value_minor == 2_500


def test_fraud_that_is_challenged_is_caught_in_part_also_where_the_policy_in_force_could_not_challenge() -> None:
    row = (APPROVE, CHALLENGE, 1_000.0, LabelState.KNOWN_FRAUD, -1)
    compared = changes([row])
    assert compared.instead.by_labels.value_caught_minor == Bounds(750, 750)
    assert compared.cost_minor == Bounds(-750, -750)


def test_there_are_no_alerts_per_fraud_where_none_can_have_been_caught() -> None:
    found = changes([(APPROVE, APPROVE, 500.0, LabelState.PRESUMED_GENUINE, -1)])
    assert found.recorded.by_labels.alerts_per_fraud_caught is None
    assert found.recorded.by_labels.recall is None
