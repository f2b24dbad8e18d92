"""What is recorded of the inputs of a retraining, above all whether replayed features equal the recorded ones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from cardwatch.events import to_epoch_ms
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.promotion.split import TemporalSplit
from pipelines.steps.assembled_inputs import compare_features, describe_inputs
from pipelines.steps.training_set import ReplayedLog

FIRST = date(2025, 1, 6)
ROWS = 6
"""Two rows a day, one in each of two partitions."""


def replayed() -> ReplayedLog:
    partitions, offsets = np.repeat([0, 1], 3), np.tile(np.arange(10, 13), 2)
    noons = [to_epoch_ms(datetime(2025, 1, 6 + int(offset) - 10, 12, tzinfo=UTC)) for offset in offsets]
    features = np.arange(ROWS * len(FEATURE_NAMES), dtype=np.float32).reshape(ROWS, -1)
    features[:, 3] = np.nan
    return ReplayedLog(
        transactions=pa.table({"partition": pa.array(partitions, pa.int32()), "log_offset": offsets}),
        occurred_at_ms=np.array(noons, np.int64),
        features=features,
        duplicates=np.zeros(ROWS, np.bool_),
        declined=np.zeros(ROWS, np.bool_),
        declined_by_rules=np.zeros(ROWS, np.bool_),
        control_propensity=np.full(ROWS, np.nan),
        cards=[],
        card_partitions=np.empty(0, np.int64),
        states=np.empty(0),
        ends={0: 13, 1: 13},
    )


class Decisions:
    """An archive with the decisions on the rows of a log; `features` are what they recorded."""

    def __init__(self, log: ReplayedLog, features: np.ndarray, schema: str = SCHEMA_HASH) -> None:
        self._log, self._features, self._schema = log, features, schema

    def decisions(self, first: date, last: date) -> pa.Table:
        rows = np.flatnonzero(self._log.rows_between(first, last + timedelta(days=1)))[::-1]
        return pa.table(
            {
                "partition": self._log.transactions["partition"].take(rows),
                "log_offset": self._log.transactions["log_offset"].take(rows),
                "feature_schema": [self._schema] * len(rows),
                "features": pa.array(self._features[rows].tolist(), pa.list_(pa.float32())),
            }
        )


@pytest.fixture
def log() -> ReplayedLog:
    return replayed()


def test_equal_features_are_counted_and_missing_values_are_equal(log: ReplayedLog) -> None:
    parity = compare_features(log, Decisions(log, log.features), FIRST, FIRST + timedelta(days=2))  # type: ignore[arg-type]

    assert (parity.rows, parity.differing, parity.features) == (4, 0, [])


@pytest.mark.rubric("monitor-3")
def test_one_bit_in_one_feature_is_a_difference(log: ReplayedLog) -> None:
    recorded = log.features.copy()
    recorded[4, 7] = np.nextafter(recorded[4, 7], np.float32(np.inf))
    recorded[4, 0] = -0.0 if recorded[4, 0] == 0 else recorded[4, 0]
    parity = compare_features(log, Decisions(log, recorded), FIRST, FIRST + timedelta(days=3))  # type: ignore[arg-type]

    assert (parity.rows, parity.differing, parity.features) == (6, 1, [FEATURE_NAMES[7]])


def test_decisions_of_another_schema_are_not_compared(log: ReplayedLog) -> None:
    former = Decisions(log, log.features + 1, schema="former")
    parity = compare_features(log, former, FIRST, FIRST + timedelta(days=3))  # type: ignore[arg-type]

    assert parity.rows == 0


def test_the_inputs_are_described_by_positions_and_transactions_a_day(log: ReplayedLog) -> None:
    labels = pa.table({"partition": pa.array([0, 0, 1], pa.int32()), "log_offset": [3, 8, 2]})
    split = TemporalSplit(
        train_from=FIRST, evaluate_from=FIRST + timedelta(days=1), evaluate_until=FIRST + timedelta(days=3)
    )
    excluded = [FIRST + timedelta(days=1)]
    described = describe_inputs(
        Decisions(log, log.features),  # type: ignore[arg-type]
        log,
        labels,
        FIRST + timedelta(days=8),
        split,
        frozenset(excluded),
    )

    assert described.log_ends == {0: 13, 1: 13}
    assert described.label_ends == {0: 9, 1: 3}
    assert described.transactions == {FIRST + timedelta(days=2): 2}  # the day before is excluded
    assert described.excluded_days == excluded
    assert described.feature_parity.rows == 2
