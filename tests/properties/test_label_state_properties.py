"""Properties of label states: time and labels only ever add knowledge."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.label_states import (
    NO_LABEL,
    SAYS_FRAUD,
    SAYS_GENUINE,
    LabelState,
    control_weights,
    is_observed,
    label_states,
)

LABELS = st.sampled_from([NO_LABEL, SAYS_GENUINE, SAYS_FRAUD])
ROWS = st.lists(st.tuples(LABELS, st.booleans(), st.integers(0, 200)), min_size=1, max_size=30)
MATURITY = st.integers(0, 120)


def states(rows: list[tuple[int, bool, int]], maturity: int) -> list[LabelState]:
    labels, declined, ages = zip(*rows, strict=True)
    found = label_states(np.array(labels, np.int8), np.array(declined), np.array(ages), maturity)
    return [LabelState(state) for state in found]


@given(ROWS, MATURITY, st.sampled_from([SAYS_GENUINE, SAYS_FRAUD]))
def test_a_label_that_arrives_makes_every_row_known(
    rows: list[tuple[int, bool, int]], maturity: int, says: int
) -> None:
    known = LabelState.KNOWN_FRAUD if says == SAYS_FRAUD else LabelState.KNOWN_GENUINE
    assert states([(says, declined, age) for _, declined, age in rows], maturity) == [known] * len(rows)


@given(ROWS, MATURITY, st.integers(0, 200))
def test_time_alone_changes_only_immature_rows(rows: list[tuple[int, bool, int]], maturity: int, later: int) -> None:
    before, after = states(rows, maturity), states([(label, d, age + later) for label, d, age in rows], maturity)
    for earlier, now in zip(before, after, strict=True):
        assert now is earlier or earlier is LabelState.IMMATURE


@given(ROWS, MATURITY)
def test_only_declined_rows_are_censored_and_they_are_never_presumed_genuine(
    rows: list[tuple[int, bool, int]], maturity: int
) -> None:
    for (_, declined, _), state in zip(rows, states(rows, maturity), strict=True):
        assert state is not (LabelState.PRESUMED_GENUINE if declined else LabelState.CENSORED)


@given(ROWS, MATURITY)
def test_each_row_depends_on_itself_alone(rows: list[tuple[int, bool, int]], maturity: int) -> None:
    assert states(rows, maturity) == [state for row in rows for state in states([row], maturity)]


@given(ROWS, MATURITY, st.floats(0.001, 1.0))
def test_without_a_control_share_a_row_counts_once_or_not_at_all(
    rows: list[tuple[int, bool, int]], maturity: int, propensity: float
) -> None:
    found = np.array(states(rows, maturity), np.int8)
    declined = np.array([row[1] for row in rows])
    amounts, none = np.full(len(rows), 100), np.full(len(rows), np.nan)
    assert control_weights(found, declined, amounts, none).tolist() == is_observed(found).astype(float).tolist()
    control = control_weights(found, declined, amounts, np.where(declined, np.nan, propensity))
    assert ((control >= 1.0) | (control == 0.0)).all()
