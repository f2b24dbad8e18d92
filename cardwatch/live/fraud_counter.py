"""Known fraud among the followed decisions, in number and in money."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple

from cardwatch.events import Action
from cardwatch.live.frames import Money

REMEMBERED: Final = 200_000
"""Number of newest decisions, and of labels without a decision, that are remembered by default: some 50 MB."""


class _Decided(NamedTuple):
    amount_minor: int
    stopped: float


class FraudCounter:
    """Joins labels and decisions, whichever comes first. `stops` is the share of fraud that each action stops.

    Only the newest `remembered` decisions, and as many labels without a decision, are joined.
    """

    def __init__(self, stops: Mapping[str, float], *, remembered: int = REMEMBERED) -> None:
        self._stops, self._remembered = stops, remembered
        self._decided: OrderedDict[str, _Decided] = OrderedDict()
        self._frauds: OrderedDict[str, None] = OrderedDict()
        self._known, self._known_minor, self._stopped, self._stopped_minor, self._alerts = 0, 0, 0.0, 0.0, 0
        self._currency = ""

    def decided(self, transaction_id: str, amount_minor: int, currency: str, action: str) -> None:
        """Record a decision."""
        self._currency = currency
        self._alerts += action != Action.APPROVE.value
        self._decided[transaction_id] = _Decided(amount_minor, self._stops.get(action, 0.0))
        self._forget_oldest(self._decided)
        if transaction_id in self._frauds:
            del self._frauds[transaction_id]
            self._count(transaction_id)

    def fraud(self, transaction_id: str) -> None:
        """Record a label that says fraud. A repeated label of a counted transaction has no effect."""
        if transaction_id in self._decided:
            self._count(transaction_id)
        else:
            self._frauds[transaction_id] = None
            self._forget_oldest(self._frauds)

    def money(self) -> Money:
        """Return the counts so far."""
        return Money(
            currency=self._currency,
            known_frauds=self._known,
            known_minor=self._known_minor,
            stopped_frauds=self._stopped,
            stopped_minor=self._stopped_minor,
            alerts=self._alerts,
        )

    def _count(self, transaction_id: str) -> None:
        decided = self._decided.pop(transaction_id)
        self._known += 1
        self._known_minor += decided.amount_minor
        self._stopped += decided.stopped
        self._stopped_minor += decided.stopped * decided.amount_minor

    def _forget_oldest(self, remembered: OrderedDict[str, _Decided] | OrderedDict[str, None]) -> None:
        if len(remembered) > self._remembered:
            remembered.popitem(last=False)
