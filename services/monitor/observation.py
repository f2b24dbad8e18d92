"""One day as the drift policy sees it, from the archive and the champion's reference."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.reader import Archive
from cardwatch.drift.policy import DayObservation, DriftPolicy, DriftResult
from cardwatch.features.definitions import FEATURES
from cardwatch.registry import ModelRegistry, ModelVersion
from monitoring.evidently_drift import FeatureDrift
from services.monitor.champions import promised, reference
from services.monitor.outcomes import Outcomes, outcomes
from services.monitor.performance import end_of, performance


class Observer:
    """Looks at finished days. Keeps the reference of the newest champion, which costs a download, between days."""

    def __init__(self, archive: Archive, registry: ModelRegistry, policy: DriftPolicy) -> None:
        self._archive, self._registry, self._policy = archive, registry, policy
        self._compared_with: tuple[str, FeatureDrift] | None = None

    def observe(self, day: date, champion: ModelVersion) -> DayObservation:
        """What was to be seen of the champion at the end of `day`, by event time and what was observed by then."""
        policy = self._policy
        drift = self._drift(day, champion)
        newest = day - timedelta(days=policy.maturity_days)
        decisions = self._archive.decisions(newest - timedelta(days=policy.performance_days - 1), newest)
        return DayObservation(
            day=day,
            champion_version=champion.version,
            drifted_features=drift.drifted,
            drift_share=drift.share,
            performance=performance(decisions, self._archive.labels(end_of(day)), champion.version),
            promised=promised(champion, fewest_frauds=policy.minimum_frauds),
        )

    def matured(self, day: date) -> Outcomes:
        """What became of the transactions of the day whose labels have matured with `day`."""
        then = day - timedelta(days=self._policy.maturity_days)
        return outcomes(
            self._archive.decisions(then, then),
            self._archive.transactions(then, then),
            self._archive.labels(end_of(day)),
        )

    def save_report(self, path: Path) -> None:
        """Write Evidently's page on the newest observation."""
        if self._compared_with is not None:
            self._compared_with[1].save_report(path, drift_share=self._policy.drift_share)

    def _drift(self, day: date, champion: ModelVersion) -> DriftResult:
        if self._compared_with is None or self._compared_with[0] != champion.version:
            rows = reference(self._registry, champion)
            self._compared_with = champion.version, FeatureDrift(rows.features, rows.margins)
        first = day - timedelta(days=self._policy.drift_days - 1)
        decisions = self._archive.decisions(first, day)
        return self._compared_with[1].compare(_features(decisions), _margins(decisions, champion.version))


def _features(decisions: pa.Table) -> NDArray[np.float32]:
    values = pc.list_flatten(decisions["features"]).to_numpy().astype(np.float32)
    return values.reshape(len(decisions), len(FEATURES))


def _margins(decisions: pa.Table, champion_version: str) -> NDArray[np.float32]:
    """Recorded margins, NaN where it was not this version that scored."""
    margins = decisions["margin"].to_numpy().astype(np.float32)
    own = np.array([version == champion_version for version in decisions["model_version"].to_pylist()], np.bool_)
    return np.where(own, margins, np.float32(np.nan))
