"""Data drift: the newest week of feature rows against the newest week before the champion was trained, by column.

A column has drifted if its distance is larger than `cardwatch.drift.usual_change` allows. All features are compared.
The distances of all columns are computed by `cardwatch.drift.distances`; those over their thresholds are computed
again by Evidently, whose numbers count and whose report shows them. Evidently alone would take 3 s of processor time a
day for 80 features, nearly all of it for plots. Samples are evenly spaced rows, which bounds the cost, is
deterministic, and represents every partition and day.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.drift.assessment import DriftResult
from cardwatch.drift.distances import Values, jensen_shannon, normed_wasserstein
from cardwatch.drift.usual_change import LEAST_THRESHOLD, MIN_WEEKS, NOTHING_USUAL, Distance, UsualChange, usual_change
from monitoring.evidently_report import (
    JENSEN_SHANNON,
    WASSERSTEIN,
    ComparedColumn,
    SampledRows,
    evidently_distances,
    write_report,
)
from monitoring.watched import CHANGES_BY_ITSELF, CODES, DEPENDS_ON_LABELS, MARGIN, WATCHED

DAYS_PER_WEEK: Final = 7
MAX_ROWS: Final = 5_000
"""Maximum number of sampled rows of a week."""
MIN_VALUES: Final = 500
"""Minimum number of values on each side. With fewer, the distance of equal distributions is close to the threshold."""
ENOUGH_ROWS: Final = 2_000
"""Number of rows from which the newest week of a reference is enough."""
LABEL_THRESHOLD: Final = 0.3
"""Least threshold of columns that depend on labels. Which fraud is known at which merchant differs by this much between
weeks of worlds in which nothing changes."""

Rows = NDArray[np.float32]


class DriftReference(Struct, frozen=True, kw_only=True):
    """Rows from which drift is measured: whole weeks of days, the newest week last.

    `features`: float32 [n, features], NaN where missing. `margins`: float32 [n], the margins of the champion. `days`:
    int64 [n], the event days since 1970. `probabilities`: float64 [n], calibrated ones of the champion, None for
    champions of earlier versions.
    """

    features: Rows
    margins: Rows
    days: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None = None

    def weeks(self) -> list[SampledRows]:
        """Return samples of each week of days that have rows, oldest week first; without rows there is none.

        A beginning of less than a week is left out, unless there is nothing else. So that the newest one has at least
        `ENOUGH_ROWS` rows, several weeks may count as one.
        """
        days, age = np.unique(-self.days, return_inverse=True)
        if not len(days):
            return []
        length = DAYS_PER_WEEK
        while (age < length).sum() < ENOUGH_ROWS and length < len(days):
            length += DAYS_PER_WEEK
        number = age // length
        newest = range(max(len(days) // length, 1))
        return [sample(self.features[number == week], self.margins[number == week]) for week in reversed(newest)]


class FeatureDrift:
    """Compares feature rows with the drift reference of a champion."""

    def __init__(self, reference: DriftReference) -> None:
        weeks = reference.weeks()
        self._reference = weeks[-1] if weeks else sample(reference.features, reference.margins)
        self._last_day = int(reference.days.max(initial=0))
        self._usual = {name: _usual(name, weeks) for name in WATCHED}
        self._is_short = len(weeks) < MIN_WEEKS
        self._current = self._reference
        self._compared: dict[str, ComparedColumn] = {}
        self._missing: list[str] = []

    def compare(self, features: Rows, margins: Rows, day: date) -> DriftResult:
        """Return the distances of these rows, of the week that ends with `day`, from the reference.

        `margins` is NaN where the champion did not score the row. A column is compared if both sides have at least
        `MIN_VALUES` values. A feature without any current value has drifted, with the distance 1. Every other column
        that cannot be compared is in `not_compared` with its reason, except one without any value on both sides: a
        source without that field has not changed. Columns that change by themselves are compared only if the reference
        has `MIN_WEEKS` weeks, which show by how much.
        """
        current = sample(features, margins)
        absent = {name for name in WATCHED if not len(current.values[name]) and not len(self._reference.values[name])}
        vanished = [name for name in WATCHED if self._has_vanished(name, current)]
        obstacles = {name: self._obstacle(name, current) for name in WATCHED if name not in vanished}
        not_compared = {name: reason for name, reason in obstacles.items() if reason and name not in absent}
        weeks = ((day - date(1970, 1, 1)).days - self._last_day) / DAYS_PER_WEEK
        self._current = current
        self._compared = {
            name: ComparedColumn(method=_method(name), threshold=self._threshold(name, weeks))
            for name, reason in obstacles.items()
            if not reason
        }
        self._missing = [*vanished, *not_compared]
        scores = {name: _distance(name)(self._reference.values[name], current.values[name]) for name in self._compared}
        over = {name: column for name, column in self._compared.items() if scores[name] >= column.threshold}
        scores |= evidently_distances(self._reference, current, over)
        scores |= dict.fromkeys(vanished, 1.0)
        thresholds = {name: column.threshold for name, column in self._compared.items()}
        drifted = [name for name in scores if name in vanished or scores[name] >= thresholds[name]]
        return DriftResult(
            drifted=sorted(drifted, key=lambda name: -scores[name]),
            share=len(drifted) / max(len(scores), 1),
            scores=scores,
            thresholds=thresholds,
            not_compared=not_compared,
        )

    def save_report(self, path: Path, *, drift_share: float) -> None:
        """Write Evidently's report (self-contained HTML) on the last comparison, if it had any column.

        The report states dataset drift from a share of `drift_share` drifted columns on, and the number and share of
        missing values of each column without a distance.
        """
        if self._compared:
            write_report(path, self._reference, self._current, self._compared, self._missing, drift_share=drift_share)

    def _threshold(self, name: str, weeks: float) -> float:
        least = LABEL_THRESHOLD if name in DEPENDS_ON_LABELS else LEAST_THRESHOLD
        return self._usual[name].threshold(weeks, least)

    def _has_vanished(self, name: str, current: SampledRows) -> bool:
        is_known = len(self._reference.values[name]) >= MIN_VALUES <= current.rows
        return is_known and name != MARGIN and not len(current.values[name])

    def _obstacle(self, name: str, current: SampledRows) -> str:
        """Return why a column cannot be compared, empty if it can be."""
        known, values = (len(rows.values[name]) for rows in (self._reference, current))
        if current.rows < MIN_VALUES:
            return f"there are fewer than {MIN_VALUES} decisions: {current.rows}"
        if known < MIN_VALUES:
            return f"the reference has fewer than {MIN_VALUES} values: {known}"
        if values < MIN_VALUES:
            has = "a margin of the champion" if name == MARGIN else "a value"
            return f"fewer than {MIN_VALUES} of {current.rows:,} sampled decisions have {has}: {values}"
        if self._is_short and name in CHANGES_BY_ITSELF:
            return f"the reference has fewer than {MIN_WEEKS} weeks, and it {CHANGES_BY_ITSELF[name]}"
        return ""


def sample(features: Rows, margins: Rows) -> SampledRows:
    """Return the finite values of each of `WATCHED` in at most `MAX_ROWS` evenly spaced rows."""
    rows = np.unique(np.linspace(0, len(features) - 1, min(MAX_ROWS, len(features))).astype(np.int64))
    columns = np.column_stack([features[rows], margins[rows]]).astype(np.float64)
    return SampledRows(len(rows), {name: np.sort(_finite(columns[:, at])) for at, name in enumerate(WATCHED)})


def _finite(column: Values) -> Values:
    return column[np.isfinite(column)]


def _usual(name: str, weeks: list[SampledRows]) -> UsualChange:
    values = [week.values[name] for week in weeks]
    return usual_change(values, _distance(name)) if min(map(len, values), default=0) else NOTHING_USUAL


def _distance(name: str) -> Distance:
    return jensen_shannon if name in CODES else normed_wasserstein


def _method(name: str) -> str:
    return JENSEN_SHANNON if name in CODES else WASSERSTEIN
