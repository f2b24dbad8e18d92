"""Fixtures for tests of the endpoints of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.feature_store.lmdb import LmdbStore
from cardwatch.features.columns import card_index
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.definitions import column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from models.training import FittedDetector, TrainingSettings, fit_detector
from services.scoring.metrics import ScoringMetrics
from tests.unit.services.scoring.worker import (
    HISTORY,
    TREES,
    Service,
    folded,
    payments,
)


@pytest.fixture(scope="session")
def fitted() -> FittedDetector:
    """A model trained on labels in which large amounts are probably fraud."""
    train, calibrate = payments(2_000, seed=3), payments(2_000, seed=4)

    def frauds(features: NDArray[np.float32], seed: int) -> NDArray[np.bool_]:
        amount = np.nan_to_num(features[:, column("amount")])
        return np.random.default_rng(seed).random(len(amount)) < np.clip(amount / 8_000.0, 0.0, 0.98)

    features = folded(train), folded(calibrate)
    return fit_detector(
        features[0],
        frauds(features[0], 5),
        calibration_features=features[1],
        calibration_is_fraud=frauds(features[1], 6),
        settings=TrainingSettings(trees=TREES, depth=4, features_per_tree=1.0, max_bin=256, learning_rate=0.3),
    )


@pytest.fixture(scope="session")
def metrics() -> ScoringMetrics:
    return ScoringMetrics()


@pytest.fixture
def service(tmp_path: Path, metrics: ScoringMetrics, fitted: FittedDetector) -> Iterator[Service]:
    cards, index = card_index([transaction.card_id for transaction in HISTORY])
    states = empty_states(len(cards))
    fold(states, index, kernel_rows(HISTORY), ReferenceTable.empty())
    with LmdbStore(tmp_path / "store") as store:
        store.apply(0, expected=0, position=len(HISTORY), card_ids=cards, states=states)
        yield Service(tmp_path, metrics, store, fitted)
