"""Where the rows of a retraining come from: positions of the logs, excluded days, and parity of their features."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.log_files import log_offsets
from adapters.archive.tables import ArchivedTables
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.features.reference_table import DAY_MS
from cardwatch.promotion.evidence import AssembledInputs, FeatureParity
from cardwatch.promotion.split import TemporalSplit
from pipelines.steps.training_set import ReplayedLog, next_offsets

_EPOCH = date(1970, 1, 1)
_OFFSET_BITS = 48


def describe_inputs(
    archive: ArchivedTables,
    history: ReplayedLog,
    labels: pa.Table,
    as_of: date,
    split: TemporalSplit,
    excluded_days: frozenset[date] = frozenset(),
) -> AssembledInputs:
    """Describe the inputs, and compare the replayed features of the evaluation window with those of its decisions."""
    first, until = split.evaluate_from, split.evaluate_until
    window = history.rows_between(first, until, excluded_days)
    days, counts = np.unique(history.occurred_at_ms[window] // DAY_MS, return_counts=True)
    return AssembledInputs(
        as_of=as_of,
        excluded_days=sorted(excluded_days),
        log_ends=history.ends,
        label_ends=next_offsets(labels),
        transactions={
            _EPOCH + timedelta(days=day): count for day, count in zip(days.tolist(), counts.tolist(), strict=True)
        },
        feature_parity=compare_features(history, archive, first, until, excluded_days),
    )


def compare_features(
    history: ReplayedLog,
    archive: ArchivedTables,
    first: date,
    until: date,
    excluded_days: frozenset[date] = frozenset(),
) -> FeatureParity:
    """Compare replayed features with those that decisions of [first, until) recorded, bit by bit.

    Decisions of other feature schemas and of `excluded_days`, which are not judged, are left out. They are read day by
    day, which bounds the memory.
    """
    keys = _log_keys(history.transactions)
    order = np.argsort(keys)
    rows, differing, names = 0, 0, np.zeros(len(FEATURE_NAMES), np.bool_)
    for number in range((until - first).days):
        day = first + timedelta(days=number)
        if day in excluded_days:
            continue
        decisions = archive.decisions(day, day)
        decisions = decisions.filter(pc.equal(decisions["feature_schema"], pa.scalar(SCHEMA_HASH)))
        if not decisions.num_rows:
            continue
        recorded = np.asarray(pc.list_flatten(decisions["features"]).to_numpy(), np.float32)
        recorded = recorded.reshape(-1, len(FEATURE_NAMES))
        decided = _log_keys(decisions)
        places = order[np.minimum(np.searchsorted(keys, decided, sorter=order), len(order) - 1)]
        known = keys[places] == decided
        recorded, replayed = recorded[known], history.features[places[known]]
        differs = (recorded.view(np.uint32) != replayed.view(np.uint32)) & ~(np.isnan(recorded) & np.isnan(replayed))
        rows += len(recorded)
        differing += int(differs.any(axis=1).sum())
        names |= differs.any(axis=0)
    return FeatureParity(
        rows=rows,
        differing=differing,
        features=[name for name, is_different in zip(FEATURE_NAMES, names.tolist(), strict=True) if is_different],
    )


def _log_keys(table: pa.Table) -> NDArray[np.int64]:
    """The position in the log of each row as one number."""
    partitions: NDArray[Any] = table["partition"].to_numpy()
    return (partitions.astype(np.int64) << _OFFSET_BITS) | log_offsets(table).astype(np.int64)
