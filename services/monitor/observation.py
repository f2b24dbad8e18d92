"""Observation of a day: data drift and performance, from the archive and the champion's reference rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.day_profiles import DayProfiler, known_days, labels_of_newest_days
from adapters.archive.feature_rows import feature_matrix, of_this_schema
from adapters.archive.layout import SCHEMAS
from adapters.archive.outcome_states import states_of
from adapters.archive.policy_amounts import with_amounts_in_currency_of
from adapters.archive.tables import ArchivedTables
from cardwatch.data_contract.contract import CONTRACT_FILE, DataContract, check_day
from cardwatch.data_contract.finding import ALL_RECORDS, Check, DataFinding
from cardwatch.data_contract.labels import MAXIMUM_LABEL_DAYS
from cardwatch.data_contract.quarantine import QuarantineState, affected_days, newest_days
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.assessment import DayObservation
from cardwatch.drift.policy import DriftPolicy
from cardwatch.label_maturity import end_of_day, newest_mature_day
from cardwatch.label_states import LabelCoverage
from cardwatch.registry import ModelRegistry, ModelVersion
from cardwatch.topics import DECISIONS
from monitoring.feature_drift import FeatureDrift
from monitoring.null_shares import NullShares
from services.monitor.champions import judged_measures, load_contract, load_reference
from services.monitor.outcomes import Outcomes, count_outcomes
from services.monitor.performance import bound_recall, count_missed_frauds, measure_performance
from services.monitor.scores import ActionShares, estimated_average_precision

DECIDED_COLUMNS: Final = (
    "transaction_id",
    "occurred_at",
    "amount_minor",
    "model_version",
    "margin",
    "probability",
    "action",
    "reasons",
    "degraded",
    "control_propensity",
)
"""Columns of decisions that say what was decided and how certain the model was."""
SCORED_COLUMNS: Final = (*DECIDED_COLUMNS, "channel", "feature_schema", "features")
"""Those, and what the model saw."""


class _Reference(NamedTuple):
    """The drift reference of a champion, with which the rows of its decisions are compared."""

    version: str
    drift: FeatureDrift
    null_shares: NullShares
    action_shares: ActionShares
    contract: DataContract | None


class Observer:
    """Observes finished days. The newest champion's reference rows are cached, because they cost a download."""

    def __init__(
        self,
        archive: ArchivedTables,
        registry: ModelRegistry,
        policy: DriftPolicy,
        decision_policy: DecisionPolicy | None = None,
    ) -> None:
        self._archive, self._registry, self._policy = archive, registry, policy
        self._decision_policy = decision_policy or DecisionPolicy()
        self._profiler = DayProfiler(archive)
        self._reference: _Reference | None = None

    def observe(self, day: date, champion: ModelVersion, quarantine: QuarantineState) -> DayObservation:
        """Return the observation of the champion at the end of `day`: events and labels up to then.

        The data contract is checked first. Quarantined days, also those that are new today, are left out of drift and
        performance, which look at as many days before them instead.
        """
        reference = self._reference_of(champion)
        policy = self._policy
        findings = self._check_contract(day, reference, quarantine)
        excluded = quarantine.excluded_days | affected_days(findings)
        drift_days, mature_days = drift_window(day, policy, excluded), performance_window(day, policy, excluded)
        immature_days = [each for each in _days_until(day, policy.maturity_days) if each not in excluded]
        first = min([*drift_days, *immature_days, day])
        decisions = of_this_schema(self._archive.decision_columns(first, day, SCORED_COLUMNS))
        recent = _of_days(decisions, drift_days)
        drift = reference.drift.compare(feature_matrix(recent), _margins(recent, champion.version), day)
        mature = self._in_currency(self._decided(mature_days), mature_days)
        labels, judged = self._archive.labels(end_of_day(day)), judged_measures(champion)
        mature_states = states_of(mature, labels, day, policy.maturity_days)
        return DayObservation(
            day=day,
            champion_version=champion.version,
            drifted_features=drift.drifted,
            drift_share=drift.share,
            not_compared=drift.not_compared,
            null_share_changes=reference.null_shares.changes(feature_matrix(_of_days(decisions, [day]))),
            data_findings=findings,
            performance=measure_performance(
                mature, labels, champion.version, largest_control_minor=self._decision_policy.control.largest_minor
            ),
            judged_performance=judged.performance,
            missed=count_missed_frauds(mature, labels, champion.version),
            judged_missed=judged.missed,
            estimated_average_precision=estimated_average_precision(recent, champion.version),
            estimate_of_matured=estimated_average_precision(mature, champion.version),
            action_share_changes=reference.action_shares.changes(recent, champion.version),
            recall_bounds=bound_recall(mature, mature_states, self._decision_policy),
            label_coverage=LabelCoverage.of(
                np.concatenate(
                    [
                        mature_states,
                        states_of(_of_days(decisions, immature_days), labels, day, policy.maturity_days),
                    ]
                )
            ),
        )

    def _decided(self, days: Sequence[date]) -> pa.Table:
        """Return the decisions on these days without features, which take nine tenths of the memory."""
        if not days:
            return SCHEMAS[DECISIONS].empty_table()
        return _of_days(self._archive.decision_columns(days[0], days[-1], DECIDED_COLUMNS), days)

    def _in_currency(self, decisions: pa.Table, days: Sequence[date]) -> pa.Table:
        """Return the decisions of these days with amounts as the control share of the policy takes them."""
        policy = self._decision_policy
        if policy.currency is None or policy.control.largest_minor is None or not days:
            return decisions
        transactions = self._archive.transaction_columns(days[0], days[-1], ["currency"])
        return with_amounts_in_currency_of(policy, decisions, transactions)

    def _check_contract(self, day: date, reference: _Reference, quarantine: QuarantineState) -> list[DataFinding]:
        """Return what breaks the champion's data contract on `day`."""
        if reference.contract is None:
            return [_no_contract(day, reference.version)]
        known = known_days(self._archive.closed_days(), day, quarantine.excluded_days)
        labels = labels_of_newest_days(self._archive, day, MAXIMUM_LABEL_DAYS)
        return check_day(
            reference.contract,
            self._profiler.profile(day, known, labels[0]),
            accepted=quarantine.accepted_for(reference.version),
            labels_before=labels[1:],
        )

    def matured_outcomes(self, day: date, excluded_days: frozenset[date]) -> Outcomes:
        """Return the outcomes of the day whose labels have matured with `day`; nothing for an excluded day."""
        mature_day = newest_mature_day(day, self._policy.maturity_days)
        if mature_day in excluded_days:
            return {}
        return count_outcomes(
            self._decided([mature_day]),
            self._archive.transactions(mature_day, mature_day),
            self._archive.labels(end_of_day(day)),
            challenge_stops_fraud=self._decision_policy.challenge_stops_fraud,
        )

    def save_report(self, path: Path) -> None:
        """Write Evidently's report of the newest observation, if there is one."""
        if self._reference is not None:
            self._reference.drift.save_report(path, drift_share=self._policy.drift_share)

    def _reference_of(self, champion: ModelVersion) -> _Reference:
        if self._reference is None or self._reference.version != champion.version:
            rows = load_reference(self._registry, champion)
            self._reference = _Reference(
                champion.version,
                FeatureDrift(rows),
                NullShares(rows.features),
                ActionShares(rows, self._decision_policy),
                load_contract(self._registry, champion),
            )
        return self._reference


def drift_window(day: date, policy: DriftPolicy, excluded_days: frozenset[date]) -> list[date]:
    """Return the days over which drift is measured, in order: the newest that are not excluded.

    They lie within twice their number, so that a long quarantine does not bring back a world of long ago.
    """
    return newest_days(_days_until(day, 2 * policy.drift_days), policy.drift_days, excluded_days)


def performance_window(day: date, policy: DriftPolicy, excluded_days: frozenset[date]) -> list[date]:
    """Return the mature days over which performance is measured, in order; see `drift_window`."""
    newest = newest_mature_day(day, policy.maturity_days)
    return newest_days(_days_until(newest, 2 * policy.performance_days), policy.performance_days, excluded_days)


def _days_until(last: date, days: int) -> list[date]:
    return [last - timedelta(days=number) for number in range(days)]


def _of_days(decisions: pa.Table, days: Sequence[date]) -> pa.Table:
    """Return the rows whose event day is one of `days`: the same table if all are, because a copy takes memory."""
    of_rows = pc.cast(decisions["occurred_at"], pa.date32())
    are_wanted = pc.is_in(of_rows, value_set=pa.array(days, pa.date32()))
    return decisions if pc.all(are_wanted).as_py() else decisions.filter(are_wanted)


def _no_contract(day: date, version: str) -> DataFinding:
    return DataFinding(
        check=Check.NO_CONTRACT.value,
        column=ALL_RECORDS,
        day=day,
        since=day,
        affects_from=day,
        sentence=f"version {version} has no {CONTRACT_FILE}: the data are not checked until a model is trained again",
        blocks=False,
    )


def _margins(decisions: pa.Table, champion_version: str) -> NDArray[np.float32]:
    """Return the recorded margins, NaN for rows scored by another version."""
    margins = decisions["margin"].to_numpy().astype(np.float32)
    own = np.array([version == champion_version for version in decisions["model_version"].to_pylist()], np.bool_)
    return np.where(own, margins, np.float32(np.nan))
