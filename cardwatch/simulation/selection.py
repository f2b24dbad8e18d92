"""Simulated labels of decided transactions: what a decision lets the bank learn.

An approved payment happens, and its fraud is reported as in `labels`. A challenge asks the holder: fraud that fails it
is known within a day and never charged back. A declined payment does not happen. Either the customer answers the bank's
question whether it was theirs, or an investigator looks at it, or nobody ever learns what it was.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.events import Action
from cardwatch.simulation.label_array import CUSTOMER, INVESTIGATOR, Floats, LabelArray, label_array
from cardwatch.simulation.transaction_array import Ints, TransactionArray, Typology

Actions = NDArray[np.int8]
"""The action on each transaction, int8 [n]: its position in `Action`."""
APPROVE, CHALLENGE, DECLINE = range(len(Action))

ANSWER_DAYS: Final = (0.01, 0.99)
"""Least and largest delay of a customer's answer to a challenge or a decline in days, uniform."""
SELECTED_INVESTIGATOR_DAYS: Final = (0.1, 1.8)
"""Least and largest delay of an investigator's label of a declined transaction in days, uniform."""
HOLDERS_OWN: Final = (Typology.BUST_OUT, Typology.FRIENDLY_FRAUD)
"""Fraud by the holder, who passes every challenge and answers no question of the bank."""


class SelectionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the bank learns of the transactions that it does not approve.

    `challenge_stops_fraud`: probability that fraud fails a challenge; use that of the decision policy.
    `confirmed_share`: probability that a customer answers whether a declined payment was theirs; the answer is true.
    `investigations_per_day`: of the other declined transactions of a day, investigators check so many, the largest
    amounts first. The rest never gets a label. Shares lie in 0..1.
    """

    challenge_stops_fraud: float = 0.9
    confirmed_share: float = 0.6
    investigations_per_day: int = 0

    def __post_init__(self) -> None:
        """Raise `ValueError`, naming the field, if a value is out of range."""
        for field in ("challenge_stops_fraud", "confirmed_share"):
            if not 0.0 <= (share := getattr(self, field)) <= 1.0:
                raise ValueError(f"{field}={share} must lie in 0..1")
        if self.investigations_per_day < 0:
            raise ValueError(f"investigations_per_day={self.investigations_per_day} must be at least 0")


def select_labels(
    rng: np.random.Generator,
    day: int,
    transactions: TransactionArray,
    actions: Actions,
    reports: LabelArray,
    settings: SelectionSettings,
) -> LabelArray:
    """Return the labels of day number `day` after these decisions, each with the time at which it is observed.

    `reports` are the labels that would follow if all n transactions were approved; `actions` is int8 [n]. Each
    transaction has its own random draws, so that a decision changes the labels of its transaction alone. The one
    exception is `investigations_per_day`, for which declined transactions compete.
    """
    stops, confirms, answered_after, investigated_after = rng.random((4, len(transactions)))
    typology = transactions["typology"]
    is_fraud = typology != Typology.GENUINE
    is_others = ~np.isin(typology, HOLDERS_OWN)
    is_declined = actions == DECLINE
    is_stopped = (actions == CHALLENGE) & is_fraud & is_others & (stops < settings.challenge_stops_fraud)
    is_confirmed = is_declined & is_others & (confirms < settings.confirmed_share)
    is_investigated = np.zeros(len(transactions), np.bool_)
    is_investigated[_largest(transactions, is_declined & ~is_confirmed, settings.investigations_per_day)] = True

    def labels(is_labelled: NDArray[np.bool_], source: int, delay_days: Floats) -> LabelArray:
        sources = np.full(len(transactions), source, np.int64)
        return label_array(day, transactions, is_labelled, is_fraud, sources, delay_days)

    happened = ~(is_declined | is_stopped)
    return np.concatenate(
        [
            reports[happened[reports["number"]]],
            labels(is_stopped | is_confirmed, CUSTOMER, _uniform(answered_after, ANSWER_DAYS)),
            labels(is_investigated, INVESTIGATOR, _uniform(investigated_after, SELECTED_INVESTIGATOR_DAYS)),
        ]
    )


def _largest(transactions: TransactionArray, chosen: NDArray[np.bool_], limit: int) -> Ints:
    """Return the positions of the largest amounts among the chosen transactions, at most `limit`."""
    positions = np.flatnonzero(chosen)
    order = np.argsort(-transactions["amount_minor"][positions], kind="stable")
    largest: Ints = positions[order[:limit]]
    return largest


def _uniform(draw: Floats, days: tuple[float, float]) -> Floats:
    delays: Floats = days[0] + (days[1] - days[0]) * draw
    return delays
