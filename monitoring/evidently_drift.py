"""Data drift by Evidently, as numbers for the drift policy and as an HTML report.

The distance of a column is the Wasserstein distance divided by the standard deviation of the reference, or, for columns
with few distinct values, the Jensen-Shannon distance. Evidently's threshold is 0.1 for both. Both sides are sampled at
evenly spaced rows, which bounds the cost, is deterministic, and represents every partition and day.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cardwatch.drift.assessment import DriftResult
from cardwatch.features.definitions import FEATURE_NAMES
from monitoring.watched import MARGIN, WATCHED

MAX_ROWS: Final = 2_000
"""Maximum number of sampled rows on each side."""
MIN_VALUES: Final = 500
"""Minimum number of values on each side. With fewer, the distance of equal distributions is close to the threshold."""
MAX_CATEGORIES: Final = 5
"""Maximum number of distinct values for the Jensen-Shannon distance."""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress Evidently's warnings: deprecations of numpy on import, and divisions by zero for constant columns."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


with _without_warnings():
    from evidently import DataDefinition, Dataset, Report
    from evidently.legacy.calculations.data_drift import get_drift_for_columns
    from evidently.legacy.options.data_drift import DataDriftOptions
    from evidently.legacy.pipeline.column_mapping import ColumnMapping
    from evidently.legacy.utils.data_operations import process_columns
    from evidently.metrics import MissingValueCount
    from evidently.presets import DataDriftPreset


class FeatureDrift:
    """Compares current feature rows with the drift reference of a champion.

    `features` is float32 [n, features], NaN where missing; `margins` is float32 [n], the margins of the champion.
    """

    def __init__(self, features: NDArray[np.float32], margins: NDArray[np.float32]) -> None:
        self._reference = _sample(features, margins)
        self._values = self._reference.count()
        self._methods = {name: _method(self._reference[name]) for name in WATCHED}
        self._current = self._reference[:0]
        self._compared: list[str] = []
        self._missing: list[str] = []

    def compare(self, features: NDArray[np.float32], margins: NDArray[np.float32]) -> DriftResult:
        """Return the distances of these rows from the reference. A margin is NaN if the champion did not score the row.

        A column is compared if both sides have at least `MIN_VALUES` values. A feature without any current value has
        drifted, with the distance 1. Every other column that cannot be compared is in `not_compared` with its reason,
        except one without any value on both sides: a source without that field has not changed.
        """
        current = _sample(features, margins)
        values = current.count()
        absent = [name for name in WATCHED if not values[name] and not self._values[name]]
        vanished = [name for name in WATCHED if self._has_vanished(name, current)]
        obstacles = {name: self._obstacle(name, current) for name in WATCHED if name not in {*absent, *vanished}}
        not_compared = {name: reason for name, reason in obstacles.items() if reason}
        self._current = current
        self._compared = [name for name, reason in obstacles.items() if not reason]
        self._missing = [*vanished, *not_compared]
        found = self._distances(current[self._compared])
        scores = {name: float(of_column.drift_score) for name, of_column in found.items()}
        scores |= dict.fromkeys(vanished, 1.0)
        drifted = [name for name in scores if name in vanished or found[name].drift_detected]
        return DriftResult(
            drifted=sorted(drifted, key=lambda name: -scores[name]),
            share=len(drifted) / max(len(scores), 1),
            scores=scores,
            not_compared=not_compared,
        )

    def save_report(self, path: Path, *, drift_share: float) -> None:
        """Write Evidently's report (self-contained HTML) on the last comparison, if it had any column.

        The report states dataset drift from a share of `drift_share` drifted columns on, and the number and share of
        missing values of each column without a distance.
        """
        columns = self._compared
        if not columns:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        methods = {name: self._methods[name] for name in columns}
        shown = [*columns, *self._missing]
        definition = DataDefinition(numerical_columns=shown)
        with _without_warnings():
            preset = DataDriftPreset(columns=columns, drift_share=drift_share, per_column_method=methods)
            missing = [MissingValueCount(column=name) for name in self._missing]
            snapshot = Report([preset, *missing], include_tests=False).run(
                Dataset.from_pandas(self._current[shown], data_definition=definition),
                Dataset.from_pandas(self._reference[shown], data_definition=definition),
            )
            snapshot.save_html(str(path))

    def _has_vanished(self, name: str, current: pd.DataFrame) -> bool:
        is_known = self._values[name] >= MIN_VALUES <= len(current)
        return bool(is_known and name != MARGIN and not current[name].count())

    def _obstacle(self, name: str, current: pd.DataFrame) -> str:
        """Return why a column cannot be compared, empty if it can be."""
        values = int(current[name].count())
        if len(current) < MIN_VALUES:
            return f"there are fewer than {MIN_VALUES} decisions: {len(current)}"
        if self._values[name] < MIN_VALUES:
            return f"the reference has fewer than {MIN_VALUES} values: {self._values[name]}"
        if values < MIN_VALUES:
            has = "a margin of the champion" if name == MARGIN else "a value"
            return f"fewer than {MIN_VALUES} of {len(current):,} sampled decisions have {has}: {values}"
        return ""

    def _distances(self, current: pd.DataFrame) -> dict[str, Any]:
        columns = list(current.columns)
        if not columns:
            return {}
        # The calculation inside Evidently's presets without their plots, which take six times as long.
        with _without_warnings():
            found = get_drift_for_columns(
                current_data=current,
                reference_data=self._reference[columns],
                dataset_columns=process_columns(self._reference, ColumnMapping(numerical_features=columns)),
                data_drift_options=DataDriftOptions(per_feature_stattest=self._methods),
                columns=columns,
                agg_data=True,
            )
        return dict(found.drift_by_columns)


def _method(reference: pd.Series[float]) -> str:
    """Return Evidently's default method for large samples. Its default below 1,000 rows is a test with p-values."""
    return "jensenshannon" if reference.nunique() <= MAX_CATEGORIES else "wasserstein"


def _sample(features: NDArray[np.float32], margins: NDArray[np.float32]) -> pd.DataFrame:
    rows = np.unique(np.linspace(0, len(features) - 1, min(MAX_ROWS, len(features))).astype(np.int64))
    frame = pd.DataFrame(features[rows].astype(np.float64), columns=list(FEATURE_NAMES))
    frame[MARGIN] = margins[rows].astype(np.float64)
    return frame[list(WATCHED)].replace([np.inf, -np.inf], np.nan)
