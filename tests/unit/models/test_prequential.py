"""The prequential protocol, on calendars small enough to check by hand."""

from datetime import date

import numpy as np
import pytest

from cardwatch.errors import Misconfigured
from models.prequential import (
    DAY_MS,
    Fold,
    PrequentialProtocol,
    known_from_day,
    make_folds,
    select_test_rows,
    select_training_rows,
    to_date,
)

HOUR_MS = 3_600_000


def days(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def flags(*values: int) -> np.ndarray:
    return np.array(values, np.bool_)


def test_folds_step_back_from_the_last_day_by_the_length_of_the_test() -> None:
    protocol = PrequentialProtocol(train_days=3, delay_days=2, test_days=2, folds=2)
    # 10 days, 100 to 109. The newest test is 108 and 109, so its delay is 106 and 107, its training 103 to 105.
    assert make_folds(protocol, first_day=100, last_day=109) == [
        Fold(number=1, train_from=101, train_until=104, test_from=106, test_until=108),
        Fold(number=2, train_from=103, train_until=106, test_from=108, test_until=110),
    ]


def test_a_given_start_is_that_of_the_newest_fold() -> None:
    # The Handbook's chapter 3: train from 2018-07-25, test from 2018-08-08 to 2018-08-14.
    protocol = PrequentialProtocol(folds=2, train_start=date(2018, 7, 25))
    first, last = (date(2018, 4, 1) - date(1970, 1, 1)).days, (date(2018, 9, 30) - date(1970, 1, 1)).days
    older, newest = make_folds(protocol, first_day=first, last_day=last)
    assert to_date(newest.train_from) == date(2018, 7, 25)
    assert (to_date(newest.test_from), to_date(newest.test_until - 1)) == (date(2018, 8, 8), date(2018, 8, 14))
    assert to_date(older.train_from) == date(2018, 7, 18)


def test_too_short_data_is_refused_with_needed_and_available_days() -> None:
    protocol = PrequentialProtocol(train_days=7, delay_days=7, test_days=7, folds=4)  # 21 + 3 x 7 = 42 days
    make_folds(protocol, first_day=0, last_day=41)
    with pytest.raises(Misconfigured) as refusal:
        make_folds(protocol, first_day=0, last_day=40)
    assert str(refusal.value) == (
        "the data does not cover the protocol: 7 train + 7 delay + 7 test days in 4 folds need 42 days,"
        " and the data has 1970-01-01 to 1970-02-10 (41 days)"
    )


@pytest.mark.parametrize("start", [date(1970, 1, 1), date(1970, 1, 23)])
def test_a_start_whose_folds_leave_the_data_is_refused(start: date) -> None:
    # Two folds of 21 days from the 23rd end on 12 February; from the 1st the older one would begin in 1969.
    protocol = PrequentialProtocol(folds=2, train_start=start)
    with pytest.raises(Misconfigured, match=f"the newest fold's from {start} on"):
        make_folds(protocol, first_day=0, last_day=41)


def test_a_label_is_known_from_the_day_after_it_was_observed() -> None:
    observed = [10 * DAY_MS, 10 * DAY_MS + 23 * HOUR_MS, 11 * DAY_MS]
    assert known_from_day(days(*observed)).tolist() == [11, 11, 12]


def test_training_knows_only_the_fraud_observed_before_the_test_begins() -> None:
    fold = Fold(number=1, train_from=10, train_until=12, test_from=14, test_until=16)
    when = days(9, 10, 10, 11, 11, 12)
    fraud = flags(1, 1, 0, 1, 1, 1)
    known = days(13, 14, 14, 15, 14, 14)
    rows, labels = select_training_rows(fold, when, fraud, known)
    assert rows.tolist() == [1, 2, 3, 4]
    # The fraud in row 3 becomes known on day 15, a day too late: it is genuine as far as training can tell.
    assert labels.tolist() == [True, False, False, True]


def test_cards_known_to_be_compromised_are_excluded_from_that_day_on() -> None:
    """Train on days 10 to 12, wait on 13 and 14, test on 15 and 16; fraud is known from 3 days later (delay 2)."""
    fold = Fold(number=1, train_from=10, train_until=13, test_from=15, test_until=17)
    rows = [
        # day, card, fraud
        (9, 0, 1),  # before the fold: does not count
        (12, 1, 1),  # in training: known from day 15, the first test day
        (13, 2, 1),  # in the delay, known from day 16
        (14, 3, 1),  # in the delay, known from day 17: after the test
        (15, 0, 0),
        (15, 1, 0),  # left out
        (15, 2, 1),
        (15, 3, 0),
        (16, 0, 0),
        (16, 1, 1),  # left out
        (16, 2, 0),  # left out
        (16, 3, 0),
        (17, 0, 0),  # after the test
    ]
    when, cards, fraud = (np.array(column) for column in zip(*rows, strict=True))
    found = select_test_rows(fold, when, fraud.astype(bool), when + 3, cards)
    assert found.rows.tolist() == [4, 6, 7, 8, 11]
    assert found.removed_rows == 3
    assert found.removed_cards == 2


def test_cards_are_excluded_as_in_the_handbook() -> None:
    """The Handbook's loop, written out: on test day d, frauds up to day d - delay - 1 of this fold are known."""
    random = np.random.default_rng(5)
    when, cards = np.sort(random.integers(0, 21, 400)), random.integers(0, 60, 400)
    fraud = random.random(400) < 0.05
    fold = make_folds(PrequentialProtocol(folds=1), first_day=0, last_day=20)[0]
    expected: list[int] = []
    for day in range(14, 21):
        compromised = set(cards[fraud & (when <= day - 7 - 1)].tolist())
        expected += [row for row in np.flatnonzero(when == day).tolist() if cards[row] not in compromised]
    observed = when * DAY_MS + random.integers(0, DAY_MS, 400) + 7 * DAY_MS
    found = select_test_rows(fold, when, fraud, known_from_day(observed), cards)
    assert found.rows.tolist() == expected
    assert found.removed_rows == (when >= 14).sum() - len(expected) > 0
