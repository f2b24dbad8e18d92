"""Prequential validation: folds of training days, delay days and test days, each one test period later.

The protocol is that of the Fraud Detection Handbook (Le Borgne et al. 2022, chapters 3.4 and 5.3), on UTC days:

    fold 1   train ####### delay ....... test =======
    fold 2          train ####### delay ....... test =======

A label is known from the first day that begins after its observation (`known_from_day`). A model is trained at the
start of its first test day, with the labels known by then. Transactions of cards that are known to be compromised on a
test day are excluded: these cards are blocked, and their fraud would inflate the metrics.
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


class PrequentialProtocol(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lengths of the periods in days, and the number of folds. The defaults are the Handbook's.

    `train_start` is the first training day of the newest fold. By default the newest fold ends on the last day of the
    data.
    """

    train_days: Days = 7
    delay_days: Annotated[int, Meta(ge=0, le=3_660)] = 7
    test_days: Days = 7
    folds: Annotated[int, Meta(ge=1, le=1_000)] = 4
    train_start: date | None = None

    @property
    def fold_days(self) -> int:
        """Length of a fold in days."""
        return self.train_days + self.delay_days + self.test_days

    @property
    def all_days(self) -> int:
        """Number of days that all folds cover together."""
        return self.fold_days + (self.folds - 1) * self.test_days


class Fold(Struct, frozen=True, kw_only=True):
    """Training and test period of a fold, half-open ranges of days since 1970. `number` starts at 1."""

    number: int
    train_from: int
    train_until: int
    test_from: int
    test_until: int


class FoldTestRows(Struct, frozen=True, kw_only=True):
    """Indexes of the test rows, int64. `removed_rows` rows of `removed_cards` compromised cards are excluded, and
    `censored_rows` whose outcome nobody knows."""

    rows: NDArray[np.int64]
    removed_rows: int
    removed_cards: int
    censored_rows: int = 0


def make_folds(protocol: PrequentialProtocol, *, first_day: int, last_day: int) -> list[Fold]:
    """Return the folds, oldest first, over data from `first_day` to `last_day` (days since 1970, both inclusive).

    Raises `Misconfigured` if the data does not cover all folds.
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
    """Return the first day that begins after the observation, from which on models and tables may use the label."""
    return observed_at_ms // DAY_MS + 1


def select_training_rows(
    fold: Fold, days: NDArray[np.int64], is_fraud: NDArray[np.bool_], known_from: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indexes of the training rows, and their labels as they are known when the test period begins.

    Fraud that is not known by then is labelled as genuine.
    """
    rows = np.flatnonzero((days >= fold.train_from) & (days < fold.train_until))
    return rows, is_fraud[rows] & (known_from[rows] <= fold.test_from)


def select_test_rows(
    fold: Fold,
    days: NDArray[np.int64],
    is_fraud: NDArray[np.bool_],
    known_from: NDArray[np.int64],
    cards: NDArray[np.int64],
) -> FoldTestRows:
    """Return the rows of the test days, without cards that are known to be compromised on the day.

    A card is compromised from the first day on which a fraud of this fold is known for it. If all labels are known
    after the delay, the result is that of the Handbook's `get_train_test_set`. All arrays have shape [n].
    """
    seen = is_fraud & (days >= fold.train_from) & (days < fold.test_until)
    blocked_from = np.full(int(cards.max(initial=-1)) + 1, _NEVER)
    np.minimum.at(blocked_from, cards[seen], known_from[seen])
    rows = np.flatnonzero((days >= fold.test_from) & (days < fold.test_until))
    blocked = blocked_from[cards[rows]] <= days[rows]
    return FoldTestRows(
        rows=rows[~blocked],
        removed_rows=int(blocked.sum()),
        removed_cards=len(np.unique(cards[rows[blocked]])),
    )


def to_date(day: int) -> date:
    """Return the date of a day since 1970."""
    return _EPOCH + timedelta(days=day)


def _fold(number: int, start: int, protocol: PrequentialProtocol) -> Fold:
    train_until = start + protocol.train_days
    test_from = train_until + protocol.delay_days
    return Fold(
        number=number,
        train_from=start,
        train_until=train_until,
        test_from=test_from,
        test_until=test_from + protocol.test_days,
    )


def _too_short(protocol: PrequentialProtocol, first_day: int, last_day: int) -> str:
    needed = (
        f"{protocol.train_days} train + {protocol.delay_days} delay + {protocol.test_days} test days"
        f" in {protocol.folds} fold{'s' if protocol.folds > 1 else ''} need {protocol.all_days} days"
    )
    if protocol.train_start is not None:
        needed += f", the newest fold's from {protocol.train_start} on"
    have = f"{to_date(first_day)} to {to_date(last_day)} ({last_day - first_day + 1} days)"
    return f"the data does not cover the protocol: {needed}, and the data has {have}"
