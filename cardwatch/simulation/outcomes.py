"""Outcomes of attempts, as the payment network reports them with a card's next attempt."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.simulation.transaction_array import APPROVED, DECLINED, UNKNOWN, Ints, TransactionArray, Typology

_DECLINE_PROBABILITY: Final = 0.015
"""Probability that an attempt fails for lack of funds."""
_TEST_DECLINE_PROBABILITY: Final = 0.15
"""The same for an attempt that tests a card, which may be blocked."""
_TESTS: Final = (Typology.CARD_TESTING, Typology.ENUMERATION)


class AuthorizationOutcomes:
    """The outcome of each card's previous attempt. Cardwatch's own decisions have no influence on it."""

    def __init__(self, cards: int) -> None:
        self._latest = np.full(cards, UNKNOWN, dtype=np.int64)

    def previous(self, rng: np.random.Generator, simulated: TransactionArray) -> Ints:
        """Return per transaction, in order of time, the outcome of the attempt before it with the same card."""
        is_test = np.isin(simulated["typology"], _TESTS)
        failed = rng.random(len(simulated)) < np.where(is_test, _TEST_DECLINE_PROBABILITY, _DECLINE_PROBABILITY)
        outcome = np.where(failed, DECLINED, APPROVED)
        order = np.argsort(simulated["card"], kind="stable")
        card = simulated["card"][order]
        first = np.ones(len(simulated), dtype=np.bool_)
        first[1:] = card[1:] != card[:-1]
        before = np.empty(len(simulated), dtype=np.int64)
        before[order] = np.where(first, self._latest[card], np.roll(outcome[order], 1))
        self._latest[simulated["card"]] = outcome  # the last assignment stands: the latest attempt
        return before
