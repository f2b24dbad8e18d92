from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from cardwatch.label_maturity import newest_mature_day
from cardwatch.label_states import (
    NO_LABEL,
    SAYS_FRAUD,
    SAYS_GENUINE,
    LabelState,
    control_weights,
    is_observed,
    label_states,
)

MATURITY = 5


def state(label: int, *, declined: bool, age: int) -> LabelState:
    [found] = label_states(np.array([label], np.int8), np.array([declined]), np.array([age]), MATURITY)
    return LabelState(found)


@pytest.mark.parametrize("declined", [False, True])
@pytest.mark.parametrize("age", [0, 4, 5, 100])
def test_a_label_counts_at_any_age_and_whatever_was_decided(declined: bool, age: int) -> None:
    assert state(SAYS_FRAUD, declined=declined, age=age) is LabelState.KNOWN_FRAUD
    assert state(SAYS_GENUINE, declined=declined, age=age) is LabelState.KNOWN_GENUINE


def test_without_a_label_a_declined_transaction_is_censored_and_any_other_presumed_genuine_once_mature() -> None:
    assert state(NO_LABEL, declined=True, age=4) is LabelState.IMMATURE
    assert state(NO_LABEL, declined=False, age=4) is LabelState.IMMATURE
    assert state(NO_LABEL, declined=True, age=5) is LabelState.CENSORED
    assert state(NO_LABEL, declined=False, age=5) is LabelState.PRESUMED_GENUINE


def test_the_newest_mature_day_is_the_first_on_which_a_silent_transaction_is_mature() -> None:
    today = date(2025, 1, 20)
    age = (today - newest_mature_day(today, MATURITY)).days
    assert state(NO_LABEL, declined=False, age=age) is LabelState.PRESUMED_GENUINE
    assert state(NO_LABEL, declined=False, age=age - 1) is LabelState.IMMATURE


def test_only_known_outcomes_and_mature_silence_are_used() -> None:
    states = np.array(list(LabelState), np.int8)
    assert [LabelState(found) for found in states[is_observed(states)]] == [
        LabelState.KNOWN_FRAUD,
        LabelState.KNOWN_GENUINE,
        LabelState.PRESUMED_GENUINE,
    ]


def weights(
    states: list[LabelState],
    declined: list[bool],
    amounts: list[int],
    propensity: list[float],
    largest: float | None = None,
) -> list[float]:
    found = control_weights(
        np.array(states, np.int8),
        np.array(declined),
        np.array(amounts),
        np.array(propensity),
        largest_control_minor=largest,
    )
    assert found.dtype == np.float32
    return [float(weight) for weight in found]


NONE = float("nan")


def test_a_control_row_stands_for_as_many_transactions_as_its_propensity_says() -> None:
    known, presumed = LabelState.KNOWN_FRAUD, LabelState.PRESUMED_GENUINE
    assert weights([known, presumed, presumed], [False] * 3, [100] * 3, [0.25, 0.5, NONE]) == [4.0, 2.0, 1.0]


def test_rows_without_an_outcome_stand_for_nothing() -> None:
    found = weights([LabelState.CENSORED, LabelState.IMMATURE], [True, False], [100, 100], [NONE, 0.5])
    assert found == [0.0, 0.0]


def test_declined_rows_that_control_rows_stand_for_do_not_count_a_second_time() -> None:
    known = LabelState.KNOWN_FRAUD
    # Two reported declines of 50 and 51, a control row and an approved one; the share covers amounts up to 50.
    found = weights([known] * 4, [True, True, False, False], [50, 51, 20, 20], [NONE, NONE, 0.1, NONE], 50)
    assert found == pytest.approx([0.0, 1.0, 10.0, 1.0])


def test_control_rows_do_not_stand_for_declines_in_which_rules_had_a_part() -> None:
    states = np.array([LabelState.KNOWN_FRAUD, LabelState.KNOWN_FRAUD, LabelState.CENSORED, LabelState.KNOWN_FRAUD])
    found = control_weights(
        states.astype(np.int8),
        np.array([False, True, True, True]),
        np.full(4, 20),
        np.array([0.1, NONE, NONE, NONE]),
        largest_control_minor=50,
        declined_by_rules=np.array([False, True, True, False]),
    )
    # The model's decline is among the ten of the control row; the rules' counts if it is reported, and else nothing.
    assert found.tolist() == [10.0, 1.0, 0.0, 0.0]


def test_without_a_control_share_reported_declines_count_once() -> None:
    assert weights([LabelState.KNOWN_FRAUD], [True], [50], [NONE]) == [1.0]
