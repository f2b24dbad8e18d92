"""What the scores of the champion say before labels have arrived: estimated performance, and shares of the actions."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.outcome_states import declined
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy, channels_of
from cardwatch.drift.action_shares import action_share_changes
from cardwatch.drift.estimated_performance import estimate_performance
from cardwatch.features.definitions import column
from cardwatch.progress import ActionShareChange
from monitoring.feature_drift import DriftReference

MINOR_PER_FEATURE_UNIT: Final = 100.0
"""The kernel divides minor units by 100 in every currency, whatever its number of decimals, so this is its inverse."""


class ActionShares:
    """Compares actions with those that a champion and the policy give on its drift reference.

    Both sides are decided by model and policy alone: rules of the policy file, the control share and degraded decisions
    would differ from the reference although nothing has changed. Amounts are not converted to the policy's currency on
    either side, because neither table has one. A champion of an earlier version has no probabilities in its reference:
    then no change is found.
    """

    def __init__(self, reference: DriftReference, policy: DecisionPolicy) -> None:
        self._policy = policy
        known = reference.probabilities
        self._reference = Counter[str]()
        if known is not None:
            amounts = reference.features[:, column("amount")].astype(np.float64) * MINOR_PER_FEATURE_UNIT
            self._reference = self._counts(known, amounts, channels_of(reference.features))

    def changes(self, decisions: pa.Table, champion_version: str) -> dict[str, ActionShareChange]:
        """Return the actions whose share has changed in the decisions of the champion, see `action_share_changes`."""
        own = scored_by(decisions, champion_version)
        amounts = own["amount_minor"].to_numpy().astype(np.float64)
        channels = pc.index_in(own["channel"], value_set=pa.array([channel.value for channel in CHANNELS]))
        counts = self._counts(_probabilities(own), amounts, channels.to_numpy().astype(np.int64))
        return action_share_changes(self._reference, counts)

    def _counts(
        self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64], channels: NDArray[np.int64]
    ) -> Counter[str]:
        return Counter(action.value for action in self._policy.decide(probabilities, amounts_minor, channels))


def estimated_average_precision(decisions: pa.Table, champion_version: str) -> float | None:
    """Return the average precision that the probabilities of the champion's decisions expect, None without any.

    Declined transactions are left out, as in `services.monitor.performance`, with which it is compared.
    """
    own = scored_by(decisions, champion_version)
    estimate = estimate_performance(_probabilities(own)[~declined(own)])
    return estimate.average_precision if estimate else None


def scored_by(decisions: pa.Table, champion_version: str) -> pa.Table:
    """Return the decisions that have a score of this version."""
    is_own = pc.equal(decisions["model_version"], pa.scalar(champion_version))
    return decisions.filter(pc.and_(is_own, decisions["margin"].is_valid()))


def _probabilities(decisions: pa.Table) -> NDArray[np.float64]:
    return decisions["probability"].to_numpy().astype(np.float64)
