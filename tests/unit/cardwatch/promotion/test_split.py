"""The windows of training and evaluation."""

from datetime import date

import pytest

from cardwatch.promotion.split import NotEnoughHistory, temporal_split


def test_the_split_excludes_days_that_are_not_mature() -> None:
    # T is the end of the 30th. Labels of the 25th have had the five days 26..30 to come in, those of the 26th have not.
    chosen = temporal_split(
        date(2025, 1, 30), first=date(2025, 1, 1), maturity_days=5, evaluation_days=3, train_days=60
    )

    assert (chosen.train_from, chosen.evaluate_from, chosen.evaluate_until) == (
        date(2025, 1, 1),
        date(2025, 1, 23),
        date(2025, 1, 26),
    )


def test_the_training_window_has_at_most_train_days() -> None:
    chosen = temporal_split(
        date(2025, 1, 30), first=date(2025, 1, 1), maturity_days=5, evaluation_days=3, train_days=10
    )

    assert chosen.train_from == date(2025, 1, 13)


def test_too_short_a_history_is_refused_with_the_needed_length() -> None:
    with pytest.raises(NotEnoughHistory, match="is 8 days long; 9 are needed: 1 to train, 3 to judge, 5 for labels"):
        temporal_split(date(2025, 1, 8), first=date(2025, 1, 1), maturity_days=5, evaluation_days=3, train_days=60)


def test_the_evaluation_window_reaches_back_over_excluded_days() -> None:
    # Mature are the days up to the 25th. The newest three without the 24th and the 22nd are the 25th, 23rd and 21st.
    chosen = temporal_split(
        date(2025, 1, 30),
        first=date(2025, 1, 1),
        maturity_days=5,
        evaluation_days=3,
        train_days=60,
        excluded_days=frozenset({date(2025, 1, 24), date(2025, 1, 22), date(2025, 1, 28)}),
    )

    assert (chosen.evaluate_from, chosen.evaluate_until) == (date(2025, 1, 21), date(2025, 1, 26))


def test_excluded_days_are_no_training_days() -> None:
    # One day to train, one to judge, none to mature: the 2nd is judged, and the 1st is excluded.
    with pytest.raises(NotEnoughHistory, match="without 1 excluded days"):
        temporal_split(
            date(2025, 1, 2),
            first=date(2025, 1, 1),
            maturity_days=0,
            evaluation_days=1,
            train_days=60,
            excluded_days=frozenset({date(2025, 1, 1)}),
        )
