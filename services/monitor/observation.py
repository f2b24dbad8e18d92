"""Observation of a day: data drift and performance, from the archive and the champion's reference rows."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.feature_rows import feature_matrix, of_this_schema
from adapters.archive.outcome_states import states_of
from adapters.archive.reader import Archive
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.assessment import DayObservation
from cardwatch.drift.policy import DriftPolicy
from cardwatch.label_maturity import end_of_day, newest_mature_day
from cardwatch.label_states import LabelCoverage
from cardwatch.registry import ModelRegistry, ModelVersion
from monitoring.evidently_drift import FeatureDrift
from monitoring.null_shares import NullShares
from services.monitor.champions import judged_performance, load_reference
from services.monitor.outcomes import Outcomes, count_outcomes
from services.monitor.performance import measure_performance


class _Reference(NamedTuple):
    """The drift reference of a champion, with which the rows of its decisions are compared."""

    version: str
    drift: FeatureDrift
    null_shares: NullShares


class Observer:
    """Observes finished days. The newest champion's reference rows are cached, because they cost a download."""

    def __init__(
        self,
        archive: Archive,
        registry: ModelRegistry,
        policy: DriftPolicy,
        decision_policy: DecisionPolicy | None = None,
    ) -> None:
        self._archive, self._registry, self._policy = archive, registry, policy
        self._decision_policy = decision_policy or DecisionPolicy()
        self._reference: _Reference | None = None

    def observe(self, day: date, champion: ModelVersion) -> DayObservation:
        """Return the observation of the champion at the end of `day`: events and labels up to then."""
        policy = self._policy
        reference = self._reference_of(champion)
        first = day - timedelta(days=policy.drift_days - 1)
        decisions = of_this_schema(self._archive.decisions(first, day))
        drift = reference.drift.compare(feature_matrix(decisions), _margins(decisions, champion.version))
        newest = newest_mature_day(day, policy.maturity_days)
        mature = self._archive.decisions(newest - timedelta(days=policy.performance_days - 1), newest)
        labels = self._archive.labels(end_of_day(day))
        of_day = feature_matrix(_after(decisions, day - timedelta(days=1)))
        return DayObservation(
            day=day,
            champion_version=champion.version,
            drifted_features=drift.drifted,
            drift_share=drift.share,
            not_compared=drift.not_compared,
            null_share_changes=reference.null_shares.changes(of_day),
            performance=measure_performance(mature, labels, champion.version),
            judged_performance=judged_performance(champion),
            label_coverage=LabelCoverage.of(
                np.concatenate(
                    [
                        states_of(mature, labels, day, policy.maturity_days),
                        states_of(_after(decisions, newest), labels, day, policy.maturity_days),
                    ]
                )
            ),
        )

    def matured_outcomes(self, day: date) -> Outcomes:
        """Return the outcomes of the day whose labels have matured with `day`."""
        mature_day = newest_mature_day(day, self._policy.maturity_days)
        return count_outcomes(
            self._archive.decisions(mature_day, mature_day),
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
                champion.version, FeatureDrift(rows.features, rows.margins), NullShares(rows.features)
            )
        return self._reference


def _after(decisions: pa.Table, day: date) -> pa.Table:
    """Return the rows of days after `day`."""
    start = pa.scalar(end_of_day(day), decisions["occurred_at"].type)
    return decisions.filter(pc.greater_equal(decisions["occurred_at"], start))


def _margins(decisions: pa.Table, champion_version: str) -> NDArray[np.float32]:
    """Return the recorded margins, NaN for rows scored by another version."""
    margins = decisions["margin"].to_numpy().astype(np.float32)
    own = np.array([version == champion_version for version in decisions["model_version"].to_pylist()], np.bool_)
    return np.where(own, margins, np.float32(np.nan))
