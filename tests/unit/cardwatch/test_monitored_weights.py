from __future__ import annotations

import numpy as np

from cardwatch.label_states import LabelState, is_measurable, monitored_weights

FRAUD, GENUINE, CENSORED = LabelState.KNOWN_FRAUD, LabelState.PRESUMED_GENUINE, LabelState.CENSORED
NONE = float("nan")


def weights(rows: list[tuple[LabelState, bool, int, float]], largest: float | None = None) -> list[float]:
    states, declined, amounts, propensities = zip(*rows, strict=True)
    found = monitored_weights(
        np.array(states, np.int8),
        np.array(declined),
        np.array(amounts),
        np.array(propensities),
        largest_control_minor=largest,
    )
    return [float(weight) for weight in found]


def test_declined_rows_are_not_measured_whether_they_are_labelled_or_not() -> None:
    assert weights([(FRAUD, True, 10, NONE), (CENSORED, True, 10, NONE), (GENUINE, False, 10, NONE)]) == [0, 0, 1]


def test_control_rows_stand_for_declined_ones_up_to_the_largest_amount_of_the_share() -> None:
    rows = [(FRAUD, False, 50, 0.25), (FRAUD, False, 51, 0.25), (FRAUD, True, 50, NONE), (GENUINE, False, 99, NONE)]
    assert weights(rows, largest=50) == [4, 0, 0, 1]


def test_control_rows_of_a_share_that_has_ended_are_not_measured() -> None:
    assert weights([(FRAUD, False, 50, 0.25), (GENUINE, False, 50, NONE)]) == [0, 1]


def test_the_population_is_what_is_not_declined_and_with_a_share_the_declines_that_it_covers() -> None:
    declines, amounts = np.array([True, True, False]), np.array([50, 51, 99])
    assert is_measurable(declines, amounts, None).tolist() == [False, False, True]
    assert is_measurable(declines, amounts, 50).tolist() == [True, False, True]
    by_rules = np.array([True, False, True])
    assert is_measurable(declines, amounts, 50, by_rules).tolist() == [False, False, False]
