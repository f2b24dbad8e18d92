"""One decision as the page shows it: the record, the explanation of its score, and the costs of the three actions."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from adapters.scoring.client import ExplanationClient
from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, DecisionPolicy
from cardwatch.errors import CardwatchError
from cardwatch.events import Decision, decode
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.live.topic_state import TopicState


class DecisionDetails:
    """Finds and explains decisions. Only the newest ones are kept in memory."""

    def __init__(self, state: TopicState, client: ExplanationClient, policy: DecisionPolicy) -> None:
        self._state, self._client, self._policy = state, client, policy

    def find(self, partition: int, offset: int) -> dict[str, Any] | None:
        """Return the decision about the transaction at this position, None if it is none of the newest.

        `explanation` is that of the champion of now, whose version it names; `unexplained` says why there is none.
        `costs` are the expected costs of the actions in minor units of `costs_currency`, None where an action is not
        feasible. `card_history` are the newest decisions about the card, those after this one included.
        """
        record = self._state.record(partition, offset)
        if record is None:
            return None
        decision = decode(record, Decision)
        found: dict[str, Any] = {
            "decision": msgspec.Raw(record),
            "features": dict(zip(FEATURE_NAMES, decision.features, strict=False)),
            "costs": self._costs(decision),
            "costs_currency": self._policy.currency or decision.transaction.currency,
            "card_history": self._state.lines_of(decision.transaction.card_id),
        }
        if decision.margin is None:
            return {**found, "unexplained": "the rules decided: there is no score to explain"}
        try:
            return {**found, "explanation": msgspec.Raw(self._client.explanation(record))}
        except CardwatchError as error:
            return {**found, "unexplained": str(error)}

    def _costs(self, decision: Decision) -> dict[str, float | None] | None:
        if decision.probability is None:
            return None
        rate = self._policy.rate_of(decision.transaction.currency)
        if rate is None:
            return None
        amount = decision.transaction.amount_minor * rate
        channel = CHANNELS.index(decision.transaction.channel)
        [costs] = self._policy.expected_costs(np.array([decision.probability]), np.array([amount]), np.array([channel]))
        return {
            action.value: float(cost) if np.isfinite(cost) else None
            for action, cost in zip(ACTIONS, costs, strict=True)
        }
