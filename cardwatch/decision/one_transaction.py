"""The decision about one transaction by a model, in one compiled call.

`cardwatch.decision.decide` takes a batch through four compiled calls, with arrays between them. With a batch of one,
most of that time is spent on calls and arrays. `OneTransaction` calls the same compiled functions for one row, and
reuses the memory of all arrays. So both give the same bits, which a property test compares.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.compiled import compiled
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.expected_costs import cheapest_action
from cardwatch.detector.calibration import probability_of
from cardwatch.detector.detector import Detector
from cardwatch.detector.trees.margins import margin_of
from cardwatch.events import Action, Transaction
from cardwatch.features.columns import COLUMNS, write_row
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import fold_one
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.ports import StateArray


class ModelDecision(NamedTuple):
    """The model's decision about a transaction; the fields mean what they do in `cardwatch.events.Decision`."""

    sequence: int
    margin: float
    probability: float
    action: Action


class OneTransaction:
    """Decides one transaction after the other. Not thread-safe, because each call uses the same memory.

    `features`: the feature row of the last one, float32 [1, features]. The next call overwrites it.
    """

    def __init__(self, policy: DecisionPolicy) -> None:
        self._costs: Final = policy.costs
        self._policy: Final = policy
        self._converts: Final = policy.currency is not None
        self._row: Final = bytearray(COLUMNS.itemsize)
        self._columns: Final = np.frombuffer(self._row, COLUMNS)
        self.features: Final[NDArray[np.float32]] = np.empty((1, len(FEATURES)), np.float32)
        self._doubled: Final = np.empty(2 * len(FEATURES), np.float32)

    def decide(
        self, detector: Detector, table: ReferenceTable, state: StateArray, transaction: Transaction
    ) -> ModelDecision | None:
        """Return the decision; None if the card has seen this transaction, or if there is no rate for its currency.

        `state`, dtype STATE [1], is changed. Raises `ValueError` if the detector's trees need rows of another width.
        """
        if detector.features != len(FEATURES):
            raise ValueError(f"the trees need rows of {detector.features} features, the kernel makes {len(FEATURES)}")
        rate = self._policy.rate_of(transaction.currency) if self._converts else 1.0
        if rate is None:
            return None
        write_row(self._row, 0, transaction)
        sequence, repeated, margin, probability, choice = _decide(
            state,
            self._columns,
            *table.arrays,
            self.features,
            self._doubled,
            *detector.arrays,
            self._costs,
            rate,
        )
        return None if repeated else ModelDecision(sequence, margin, probability, ACTIONS[choice])


@compiled
def _decide(  # type: ignore[no-untyped-def]  # noqa: PLR0913, PLR0917 (a tuple takes longer to pass)
    state, columns, hashes, table_values, starts, filter_words, features, doubled,
    nodes, values, roots, depths, base_margin, margins, probabilities,
    costs, rate,
):  # fmt: skip
    sequence, repeated = fold_one(state, 0, columns[0], (hashes, table_values, starts, filter_words), features[0])
    if repeated:
        return sequence, True, np.float32(0.0), 0.0, 0
    margin = margin_of(features[0], doubled, nodes, values, roots, depths, base_margin)
    probability = probability_of(margins, probabilities, margin)
    amount_minor = np.float64(columns[0].amount_minor) * rate
    choice = cheapest_action(probability, amount_minor, costs[columns[0].channel])
    return sequence, False, margin, probability, choice
