"""Recorded decisions of a day on which a version was in shadow or canary, and what both models make of them."""

from __future__ import annotations

from datetime import date

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.decide_again import DecidedAgain, RecordedRows, decide_again
from cardwatch.decision.policy_actions import costs_under_labels
from cardwatch.events import Action

_APPROVE = ACTIONS.index(Action.APPROVE)


class StageRows(Struct, frozen=True, kw_only=True):
    """The n decisions of `day`. Arrays have n values.

    Probabilities are float64, NaN where the model gave none. `is_alert` and `costs_minor` are what each model's
    probability leads to under the policy, bool and float64; a cost is NaN where the outcome is not known. `cards`:
    int64, equal for rows of one card. `is_by_canary` says who decided, `is_canary_card` who decides by the hash rule,
    bool. `is_degraded`: bool, the rules decided. `is_fraud`: bool, known fraud.
    """

    day: date
    champion_probabilities: NDArray[np.float64]
    candidate_probabilities: NDArray[np.float64]
    champion_alerts: NDArray[np.bool_]
    candidate_alerts: NDArray[np.bool_]
    champion_costs_minor: NDArray[np.float64]
    candidate_costs_minor: NDArray[np.float64]
    cards: NDArray[np.int64]
    is_by_canary: NDArray[np.bool_]
    is_canary_card: NDArray[np.bool_]
    is_degraded: NDArray[np.bool_]
    is_fraud: NDArray[np.bool_]

    @property
    def both(self) -> NDArray[np.bool_]:
        """Which rows both models have scored, bool [n]."""
        return ~(np.isnan(self.champion_probabilities) | np.isnan(self.candidate_probabilities))

    def at(self, places: NDArray[np.int64]) -> StageRows:
        """Return some rows of the day."""
        names = [name for name in self.__struct_fields__ if name != "day"]
        return StageRows(day=self.day, **{name: getattr(self, name)[places] for name in names})


class StageColumns(Struct, frozen=True, kw_only=True):
    """What of n recorded decisions tells about a stage, beside `RecordedRows`; arrays as in `StageRows`.

    `is_known`: bool, whether the outcome is known and mature.
    """

    day: date
    champion_probabilities: NDArray[np.float64]
    candidate_probabilities: NDArray[np.float64]
    cards: NDArray[np.int64]
    is_by_canary: NDArray[np.bool_]
    is_canary_card: NDArray[np.bool_]
    is_degraded: NDArray[np.bool_]
    is_fraud: NDArray[np.bool_]
    is_known: NDArray[np.bool_]


def stage_rows(policy: DecisionPolicy, recorded: RecordedRows, columns: StageColumns) -> StageRows:
    """Return the rows with the alerts and costs of both models under the policy."""
    alerts, costs = [], []
    for probabilities in (columns.champion_probabilities, columns.candidate_probabilities):
        rows = structs.replace(recorded, probabilities=probabilities)
        again = decide_again(policy, rows)
        alerts.append((again.actions != _APPROVE) & again.is_known)
        costs.append(_costs(policy, rows, again, columns))
    return StageRows(
        day=columns.day,
        champion_probabilities=columns.champion_probabilities,
        candidate_probabilities=columns.candidate_probabilities,
        champion_alerts=alerts[0],
        candidate_alerts=alerts[1],
        champion_costs_minor=costs[0],
        candidate_costs_minor=costs[1],
        cards=columns.cards,
        is_by_canary=columns.is_by_canary,
        is_canary_card=columns.is_canary_card,
        is_degraded=columns.is_degraded,
        is_fraud=columns.is_fraud & columns.is_known,
    )


def _costs(
    policy: DecisionPolicy, rows: RecordedRows, again: DecidedAgain, columns: StageColumns
) -> NDArray[np.float64]:
    amounts = rows.amounts_in(policy)
    costs = np.full(len(amounts), np.nan)
    known = np.flatnonzero(columns.is_known & again.is_known & ~np.isnan(amounts))
    if len(known):
        costs[known] = costs_under_labels(
            policy, again.actions[known], again.overlay[known], columns.is_fraud[known], amounts[known],
            rows.channels[known],
        )  # fmt: skip
    return costs
