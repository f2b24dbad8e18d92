"""What the decisions of a demo have saved, in money: against doing nothing, and against keeping the old model.

All costs are those of the decision policy under the simulated truth, see docs/policy.md: fraud that was approved or has
passed a challenge, and genuine customers who were challenged or declined. The old model decides the transactions of
the days after the swap again, as `cardwatch whatif --model` does; customers and fraudsters act as they did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import numpy as np
import pyarrow as pa
from msgspec import Struct

from adapters.archive.recorded_rows import TruthOfIds, read_recorded_rows
from adapters.archive.tables import ArchivedTables
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide_again import DecidedAgain, decide_again, rescored
from cardwatch.decision.what_if import WhatIfRows, compared_rows
from cardwatch.decision.what_if_figures import changes_of, concatenated
from cardwatch.detector.detector import Detector
from cli.demo.phases import SWAPPED, Phase

_TYPOLOGIES = ("genuine", "fraud")
_IS_FRAUD = (False, True)


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
    approved = [_approving_everything(part) for part in everything]
    days = (phases[-1].last_day - phases[0].first_day).days + 1
    swapped = next((phase for phase in phases if phase.name == SWAPPED), None)
    return Savings(
        currency=policy.currency or currency,
        against_nothing=_comparison(everything, approved, policy, days, "approving everything"),
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
    detector = detector_of(version)
    parts = _read(archive, phase, phase, policy, frauds)
    # What the rules decided while no model answered, they decide with the old model too.
    instead = [
        decide_again(policy, rescored(part.recorded, lambda rows: detector.probabilities(detector.margins(rows))))
        for part in parts
    ]
    days = (phase.last_day - phase.first_day).days + 1
    return _comparison(parts, instead, policy, days, f"keeping v{version}")


def _read(
    archive: ArchivedTables, first: Phase, last: Phase, policy: DecisionPolicy, frauds: Set[str]
) -> list[WhatIfRows]:
    truth = TruthOfIds(
        transaction_ids=pa.array(sorted(frauds), pa.string()),
        codes=np.full(len(frauds), _TYPOLOGIES.index("fraud")),
        typologies=_TYPOLOGIES,
        is_fraud=_IS_FRAUD,
        others=_TYPOLOGIES.index("genuine"),
    )
    return read_recorded_rows(archive, first.first_day, last.last_day, policies=[policy], maturity_days=0, truth=truth)


def _approving_everything(part: WhatIfRows) -> DecidedAgain:
    count = len(part.recorded.actions)
    return DecidedAgain(
        actions=np.zeros(count, np.int8),
        overlay=np.zeros(count, np.int8),
        control_shares=np.zeros(count),
        by_model=np.zeros(count, np.bool_),
        is_known=np.ones(count, np.bool_),
    )


def _comparison(
    parts: Sequence[WhatIfRows], instead: Sequence[DecidedAgain], policy: DecisionPolicy, days: int, name: str
) -> CostComparison:
    """Value both sides. An amount without a rate is decided by the rules, and is worth nothing that can be compared."""
    costs = 0.0, 0.0
    if parts:
        compared = [compared_rows(part, again, policy, None) for part, again in zip(parts, instead, strict=True)]
        changes = changes_of(concatenated(compared), policy, _TYPOLOGIES, _IS_FRAUD)
        if changes.recorded.by_truth is not None and changes.instead.by_truth is not None:
            costs = changes.recorded.by_truth.cost_minor, changes.instead.by_truth.cost_minor
    return CostComparison(days=days, instead=name, cost_minor=round(costs[0]), instead_minor=round(costs[1]))
