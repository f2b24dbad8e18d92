"""Evidently's public API: distances of columns, and the report on them as one HTML file.

Evidently is imported on the first call: it takes two thirds of the time in which the monitor starts, and is only needed
once a column is over its threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from cardwatch.drift.distances import Values

if TYPE_CHECKING:
    from evidently import Dataset

WASSERSTEIN: Final = "wasserstein"
"""Evidently's name of the distance of `cardwatch.drift.distances.normed_wasserstein`."""
JENSEN_SHANNON: Final = "jensenshannon"
"""Evidently's name of the distance of `cardwatch.drift.distances.jensen_shannon`, for categories."""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress Evidently's warnings: deprecations of numpy on import, and divisions by zero for constant columns."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class ComparedColumn(NamedTuple):
    """How a column is compared: Evidently's name of the method, and the distance from which on it has drifted."""

    method: str
    threshold: float


class SampledRows(NamedTuple):
    """The values of a sample of `rows` rows, by column: finite and sorted, so that there may be fewer than `rows`."""

    rows: int
    values: dict[str, Values]


def evidently_distances(
    reference: SampledRows, current: SampledRows, columns: Mapping[str, ComparedColumn]
) -> dict[str, float]:
    """Return Evidently's distance of each of `columns`, which have values on both sides."""
    if not columns:
        return {}
    with _without_warnings():
        from evidently import Report  # noqa: PLC0415 (see above)
        from evidently.metrics import ValueDrift  # noqa: PLC0415

        metrics = [
            ValueDrift(column=name, method=column.method, threshold=column.threshold)
            for name, column in columns.items()
        ]
        snapshot = Report(metrics, include_tests=False).run(
            _dataset(current, columns, columns), _dataset(reference, columns, columns)
        )
        found = snapshot.dict()["metrics"]
    return {name: float(metric["value"]) for name, metric in zip(columns, found, strict=True)}


def write_report(
    path: Path,
    reference: SampledRows,
    current: SampledRows,
    columns: Mapping[str, ComparedColumn],
    missing: Sequence[str],
    *,
    drift_share: float,
) -> None:
    """Write Evidently's report (self-contained HTML) on these columns, and on the missing values of those in `missing`.

    It states dataset drift from a share of `drift_share` (0..1) drifted columns on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = [*columns, *missing]
    with _without_warnings():
        from evidently import Report  # noqa: PLC0415 (see above)
        from evidently.metrics import MissingValueCount  # noqa: PLC0415
        from evidently.presets import DataDriftPreset  # noqa: PLC0415

        preset = DataDriftPreset(
            columns=list(columns),
            drift_share=drift_share,
            per_column_method={name: column.method for name, column in columns.items()},
            per_column_threshold={name: column.threshold for name, column in columns.items()},
        )
        snapshot = Report([preset, *(MissingValueCount(column=name) for name in missing)], include_tests=False).run(
            _dataset(current, shown, columns), _dataset(reference, shown, columns)
        )
        snapshot.save_html(str(path))


def _dataset(sampled: SampledRows, shown: Iterable[str], columns: Mapping[str, ComparedColumn]) -> Dataset:
    """Return the columns `shown` as a table. Each ends with its missing values: a column is compared by itself."""
    import pandas as pd  # noqa: PLC0415 (see above)
    from evidently import DataDefinition, Dataset  # noqa: PLC0415

    names = list(shown)
    codes = [name for name in names if name in columns and columns[name].method == JENSEN_SHANNON]
    numbers = [name for name in names if name not in codes]
    frame = {
        name: np.append(values := sampled.values[name], np.full(sampled.rows - len(values), np.nan)) for name in names
    }
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=codes)
    return Dataset.from_pandas(pd.DataFrame(frame), data_definition=definition)
