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
    from evidently.presets import DataDriftPreset


class FeatureDrift:
    """Compares current feature rows with the drift reference of a champion.

    `features` is float32 [n, features], NaN where missing; `margins` is float32 [n], the margins of the champion.
    """

    def __init__(self, features: NDArray[np.float32], margins: NDArray[np.float32]) -> None:
        self._reference = _sample(features, margins)
        self._values = self._reference.count()
        self._methods = {name: _method(self._reference[name]) for name in WATCHED}
        self._current: pd.DataFrame | None = None

    def compare(self, features: NDArray[np.float32], margins: NDArray[np.float32]) -> DriftResult:
        """Return the distances of these rows from the reference. A margin is NaN if the champion did not score the row.

        A column is compared if both sides have at least `MIN_VALUES` values. A feature without any current value has
        drifted, with the distance 1.
        """
        current = _sample(features, margins)
        values = current.count()
        known = [name for name in WATCHED if self._values[name] >= MIN_VALUES <= len(current)]
        self._current = current[[name for name in known if values[name] >= MIN_VALUES]]
        found = self._distances(self._current)
        vanished = [name for name in known if values[name] == 0 and name != MARGIN]
        scores = {name: float(of_column.drift_score) for name, of_column in found.items()} | dict.fromkeys(
            vanished, 1.0
        )
        drifted = [name for name in scores if name in vanished or found[name].drift_detected]
        return DriftResult(
            drifted=sorted(drifted, key=lambda name: -scores[name]),
            share=len(drifted) / max(len(scores), 1),
            scores=scores,
        )

    def save_report(self, path: Path, *, drift_share: float) -> None:
        """Write Evidently's report (self-contained HTML) on the last comparison, if it had any column.

        The report states dataset drift from a share of `drift_share` drifted columns on.
        """
        if self._current is None or self._current.empty:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(self._current.columns)
        methods = {name: self._methods[name] for name in columns}
        definition = DataDefinition(numerical_columns=columns)
        with _without_warnings():
            preset = DataDriftPreset(columns=columns, drift_share=drift_share, per_column_method=methods)
            snapshot = Report([preset], include_tests=False).run(
                Dataset.from_pandas(self._current, data_definition=definition),
                Dataset.from_pandas(self._reference[columns], data_definition=definition),
            )
            snapshot.save_html(str(path))

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
