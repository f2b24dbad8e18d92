"""Labels as the reference tables need them: which transactions are known to be fraud at a time, and whom they name."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import Label, to_epoch_ms
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_days import DayOfTransactions
from cardwatch.features.reference_table import DAY_MS, Hashes


class ReferenceLabel(NamedTuple):
    """A label. `transaction`, `merchant` and `card` are identity hashes; times are in milliseconds since 1970."""

    observed_at_ms: int
    is_fraud: bool
    occurred_at_ms: int
    transaction: int
    merchant: int
    card: int

    @classmethod
    def of(cls, label: Label) -> ReferenceLabel:
        """Return a label of the contract in this form."""
        return cls(
            observed_at_ms=to_epoch_ms(label.observed_at),
            is_fraud=label.is_fraud,
            occurred_at_ms=to_epoch_ms(label.effective_at),
            transaction=identity_hash(label.transaction_id),
            merchant=identity_hash(label.merchant_id),
            card=identity_hash(label.card_id),
        )


class KnownFrauds(NamedTuple):
    """n frauds, in any order: identity hashes, uint64 [n], 0 where none is known, and int64 [n] times."""

    transaction: Hashes
    merchant: Hashes
    card: Hashes
    device: Hashes
    occurred_at_ms: NDArray[np.int64]


class LabelLog:
    """The labels of each transaction. Of several, the newest that was observed before a time counts at that time."""

    def __init__(self) -> None:
        self._labels: dict[int, list[ReferenceLabel]] = {}

    def add(self, label: ReferenceLabel) -> None:
        """Add a label; labels may come in any order."""
        insort(self._labels.setdefault(label.transaction, []), label)

    def drop_before(self, day: int) -> None:
        """Forget the labels of transactions before `day`."""
        limit_ms = day * DAY_MS
        self._labels = {
            transaction: labels
            for transaction, labels in self._labels.items()
            if any(label.occurred_at_ms >= limit_ms for label in labels)
        }

    def known_frauds(self, first: int, stop: int, days: Mapping[int, DayOfTransactions]) -> KnownFrauds:
        """Return the frauds of the event days [first, stop) that are known when day `stop` begins.

        A label names the merchant and the card; the device comes from the transaction's row in `days`, if it is there.
        """
        before_ms = stop * DAY_MS
        confirmed = (_confirmed_fraud(labels, before_ms) for labels in self._labels.values())
        frauds = [fraud for fraud in confirmed if fraud and fraud.occurred_at_ms >= first * DAY_MS]

        def column(name: str) -> Hashes:
            return np.array([getattr(fraud, name) for fraud in frauds], np.uint64)

        transactions = column("transaction")
        occurred_at_ms = np.array([fraud.occurred_at_ms for fraud in frauds], np.int64)
        devices = np.zeros(len(frauds), np.uint64)
        for day in np.unique(occurred_at_ms // DAY_MS).tolist():
            if day in days:
                of_day = np.flatnonzero(occurred_at_ms // DAY_MS == day)
                found, rows = days[day].find(transactions[of_day])
                devices[of_day[found]] = rows["device"]
        return KnownFrauds(transactions, column("merchant"), column("card"), devices, occurred_at_ms)


def _confirmed_fraud(labels: list[ReferenceLabel], before_ms: int) -> ReferenceLabel | None:
    """Return the earliest fraud label, or None if there is none or a newer label before `before_ms` says genuine."""
    fraud: ReferenceLabel | None = None
    for label in labels:
        if label.observed_at_ms < before_ms and label.occurred_at_ms < before_ms:
            fraud = (fraud or label) if label.is_fraud else None
    return fraud
