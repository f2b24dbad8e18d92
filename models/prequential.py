"""Prequential evaluation: train, wait for the labels, test; move on by the length of the test; again.

The protocol is that of the Fraud Detection Handbook (Le Borgne et al. 2022, chapters 3.4 and 5.3), days being
UTC calendar days:

    fold 1   train ####### delay ....... test =======
    fold 2          train ####### delay ....... test =======

A label is known from the first day that begins after it was observed (`known_from_day`). A model is trained
at the start of its first test day, with the labels known by then. On each test day, the transactions of cards
known by that day to be compromised are left out: those cards are blocked, and scoring them would reward the
detector for what is known anyway.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from cardwatch.errors import Misconfigured

DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)
_NEVER: Final = np.iinfo(np.int64).max

Days = Annotated[int, Meta(ge=1, le=3_660)]


class Protocol(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to train, wait and test, and how often. The defaults are the Handbook's.

    `train_start` is the first training day of the newest fold; without it, the newest test ends with the last
    day of data.
    """

    train_days: Days = 7
    delay_days: Annotated[int, Meta(ge=0, le=3_660)] = 7
    test_days: Days = 7
    folds: Annotated[int, Meta(ge=1, le=1_000)] = 4
    train_start: date | None = None

    @property
    def fold_days(self) -> int:
        """The days from the first of training to the last of testing."""
        return self.train_days + self.delay_days + self.test_days

    @property
    def all_days(self) -> int:
        """The days that all folds take together."""
        return self.fold_days + (self.folds - 1) * self.test_days


class Fold(Struct, frozen=True, kw_only=True):
    """One train, delay and test, as days since 1970. A range ends before its `until`."""

    number: int
    train_from: int
    train_until: int
    test_from: int
    test_until: int


class RowsToTestOn(Struct, frozen=True, kw_only=True):
    """Positions to test on; `removed_rows` transactions of `removed_cards` compromised cards are left out."""

    rows: NDArray[np.int64]
    removed_rows: int
    removed_cards: int


def lay_folds(protocol: Protocol, *, first_day: int, last_day: int) -> list[Fold]:
    """The folds, oldest first, over data from `first_day` to `last_day` (days since 1970, both inclusive).

    Raises `Misconfigured` if the data is too short for the protocol.
    """
    newest = last_day + 1 - protocol.fold_days
    if protocol.train_start is not None:
        newest = (protocol.train_start - _EPOCH).days
    oldest = newest - (protocol.folds - 1) * protocol.test_days
    if oldest < first_day or newest + protocol.fold_days > last_day + 1:
        raise Misconfigured(_too_short(protocol, first_day, last_day))
    starts = range(oldest, newest + 1, protocol.test_days)
    return [_fold(number, start, protocol) for number, start in enumerate(starts, 1)]


def known_from_day(observed_at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first day that begins after a label was observed: from then on models and tables may use it."""
    return observed_at_ms // DAY_MS + 1


def rows_to_train_on(
    fold: Fold, days: NDArray[np.int64], is_fraud: NDArray[np.bool_], known_from: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The positions to train on and their labels as known when the test begins.

    Fraud that is not known by then counts as genuine.
    """
    rows = np.flatnonzero((days >= fold.train_from) & (days < fold.train_until))
    return rows, is_fraud[rows] & (known_from[rows] <= fold.test_from)


def rows_to_test_on(
    fold: Fold,
    days: NDArray[np.int64],
    is_fraud: NDArray[np.bool_],
    known_from: NDArray[np.int64],
    cards: NDArray[np.int64],
) -> RowsToTestOn:
    """The positions to test on: the test days without cards that were known to be compromised on the day.

    A card is compromised from the first day on which a fraud of it is known that happened in this fold (from
    the first training day on). With labels that are known after the delay, this is the Handbook's
    `get_train_test_set`.
    """
    seen = is_fraud & (days >= fold.train_from) & (days < fold.test_until)
    blocked_from = np.full(int(cards.max(initial=-1)) + 1, _NEVER)
    np.minimum.at(blocked_from, cards[seen], known_from[seen])
    rows = np.flatnonzero((days >= fold.test_from) & (days < fold.test_until))
    blocked = blocked_from[cards[rows]] <= days[rows]
    return RowsToTestOn(
        rows=rows[~blocked],
        removed_rows=int(blocked.sum()),
        removed_cards=len(np.unique(cards[rows[blocked]])),
    )


def to_date(day: int) -> date:
    """The date of a day since 1970."""
    return _EPOCH + timedelta(days=day)


def _fold(number: int, start: int, protocol: Protocol) -> Fold:
    train_until = start + protocol.train_days
    test_from = train_until + protocol.delay_days
    return Fold(
        number=number,
        train_from=start,
        train_until=train_until,
        test_from=test_from,
        test_until=test_from + protocol.test_days,
    )


def _too_short(protocol: Protocol, first_day: int, last_day: int) -> str:
    needed = (
        f"{protocol.train_days} train + {protocol.delay_days} delay + {protocol.test_days} test days"
        f" in {protocol.folds} fold{'s' if protocol.folds > 1 else ''} need {protocol.all_days} days"
    )
    if protocol.train_start is not None:
        needed += f", the newest fold's from {protocol.train_start} on"
    have = f"{to_date(first_day)} to {to_date(last_day)} ({last_day - first_day + 1} days)"
    return f"the data does not cover the protocol: {needed}, and the data has {have}"
