"""What the decisions of a demo have saved, in money: against doing nothing, and against keeping the old model.

All costs are those of the decision policy under the simulated truth, see docs/policy.md: fraud that was approved or has
passed a challenge, and genuine customers who were challenged or declined. The old model decides the transactions of
the days after the swap again, from their recorded features; customers and fraudsters act as they did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.arrow_columns import Arrow
from adapters.archive.feature_rows import feature_matrix
from adapters.archive.policy_amounts import amounts_in_currency_of
from adapters.archive.tables import ArchivedTables
from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, DecisionPolicy
from cardwatch.decision.overlay_rules import strictest_actions
from cardwatch.decision.policy_actions import actions_by_model, costs_under_labels
from cardwatch.detector.detector import Detector
from cli.demo.phases import SWAPPED, Phase


class CostComparison(Struct, frozen=True, kw_only=True):
    """Costs of the decisions of some days in minor units: as they were, and with something else `instead`."""

    days: int
    instead: str
    cost_minor: int
    instead_minor: int

    @property
    def saved_minor(self) -> int:
        """What the decisions have saved; negative if they cost more."""
        return self.instead_minor - self.cost_minor


class Savings(Struct, frozen=True, kw_only=True):
    """What all live days have saved against approving everything, and the days after a swap against the old model.

    `against_old_model` is None without a swap.
    """

    currency: str
    against_nothing: CostComparison
    against_old_model: CostComparison | None


class _Decided(Struct, frozen=True, kw_only=True):
    """Decisions of some days: `amounts` in the policy's currency, `actions` as places in `ACTIONS`."""

    rows: pa.Table
    transactions: pa.Table
    amounts: NDArray[np.float64]
    channels: NDArray[np.int64]
    actions: NDArray[np.int8]
    frauds: NDArray[np.bool_]


def money_saved(
    archive: ArchivedTables,
    phases: Sequence[Phase],
    policy: DecisionPolicy,
    currency: str,
    *,
    frauds: Set[str],
    former_version: str | None,
    detector_of: Callable[[str], Detector],
) -> Savings | None:
    """Return the savings of the days of `phases`, None without phases.

    `frauds` are the ids of the transactions that are fraud in truth. `currency` is that of the transactions, for a
    policy without one. `former_version` is the model that decided before the swap, None without one.

    Raises what `detector_of` raises for a version.
    """
    if not phases:
        return None
    everything = _read(archive, phases[0], phases[-1], policy, frauds)
    approvals = np.zeros(len(everything.actions), np.int8)
    days = (phases[-1].last_day - phases[0].first_day).days + 1
    swapped = next((phase for phase in phases if phase.name == SWAPPED), None)
    return Savings(
        currency=policy.currency or currency,
        against_nothing=CostComparison(
            days=days,
            instead="approving everything",
            cost_minor=_cost(everything, everything.actions, policy),
            instead_minor=_cost(everything, approvals, policy),
        ),
        against_old_model=None
        if swapped is None or former_version is None
        else _against(former_version, swapped, archive, policy, frauds, detector_of),
    )


def _against(
    version: str,
    phase: Phase,
    archive: ArchivedTables,
    policy: DecisionPolicy,
    frauds: Set[str],
    detector_of: Callable[[str], Detector],
) -> CostComparison:
    decided = _read(archive, phase, phase, policy, frauds)
    detector, features = detector_of(version), feature_matrix(decided.rows)
    overlay = strictest_actions(
        policy.rules, features, lambda name: decided.transactions[name].to_pylist(), policy.challenge_channels
    )
    probabilities = detector.probabilities(detector.margins(features))
    by_model = actions_by_model(policy, probabilities, decided.amounts, decided.channels, overlay)
    # What the rules decided while no model answered, they would have decided with the old model too.
    actions = np.where(decided.rows["margin"].is_valid().to_numpy(), by_model, decided.actions).astype(np.int8)
    costs = costs_under_labels(policy, actions, overlay, decided.frauds, decided.amounts, decided.channels)
    return CostComparison(
        days=(phase.last_day - phase.first_day).days + 1,
        instead=f"keeping v{version}",
        cost_minor=_cost(decided, decided.actions, policy),
        instead_minor=round(float(costs.sum())),
    )


def _read(archive: ArchivedTables, first: Phase, last: Phase, policy: DecisionPolicy, frauds: Set[str]) -> _Decided:
    decisions = archive.decisions(first.first_day, last.last_day)
    transactions = archive.transactions(first.first_day, last.last_day)
    found: Arrow = pc.index_in(decisions["transaction_id"], value_set=transactions["transaction_id"])
    transactions = transactions.take(found)
    amounts = amounts_in_currency_of(policy, transactions)
    # An amount without a rate is decided by the rules, and is worth nothing that could be compared.
    priced = pa.array(~np.isnan(amounts))
    decisions, transactions = decisions.filter(priced), transactions.filter(priced)
    return _Decided(
        rows=decisions,
        transactions=transactions,
        amounts=amounts[~np.isnan(amounts)],
        channels=_places(decisions["channel"], [channel.value for channel in CHANNELS]).astype(np.int64),
        actions=_places(decisions["action"], [action.value for action in ACTIONS]).astype(np.int8),
        frauds=np.array([name in frauds for name in decisions["transaction_id"].to_pylist()], np.bool_),
    )


def _places(names: Arrow, values: Sequence[str]) -> NDArray[np.int64]:
    found: Arrow = pc.index_in(names, value_set=pa.array(values))
    places: NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return places


def _cost(decided: _Decided, actions: NDArray[np.int8], policy: DecisionPolicy) -> int:
    costs = policy.expected_costs(decided.frauds.astype(np.float64), decided.amounts, decided.channels)
    return round(float(np.take_along_axis(costs, actions.astype(np.int64)[:, None], axis=1).sum()))
