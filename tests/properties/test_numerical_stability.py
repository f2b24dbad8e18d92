"""Whatever a feature row holds, a trained detector answers with finite numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURE_NAMES
from models.training import TrainingSettings, fit_detector

WIDTH = len(FEATURE_NAMES)
EXTREME = (np.nan, np.inf, -np.inf, 0.0, -0.0, float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny))
VALUES = st.sampled_from(EXTREME) | st.floats(width=32)
ROWS = st.integers(1, 8).flatmap(lambda count: arrays(np.float32, (count, WIDTH), elements=VALUES, fill=VALUES))


@cache
def detector() -> Detector:
    """A detector whose training rows have missing and very large values too."""
    random = np.random.default_rng(3)
    features = random.normal(size=(4_000, WIDTH)).astype(np.float32)
    features[random.random(features.shape) < 0.1] = np.nan
    features[random.random(features.shape) < 0.01] = 1e30
    is_fraud = np.nan_to_num(features[:, :3]).max(axis=1) > 1.5
    return fit_detector(
        features[:3_000],
        is_fraud[:3_000],
        calibration_features=features[3_000:],
        calibration_is_fraud=is_fraud[3_000:],
        settings=TrainingSettings(trees=30, threads=1),
    ).detector


@pytest.mark.rubric("monitor-5")
@settings(max_examples=150, deadline=None)
@example(np.full((1, WIDTH), np.nan, np.float32))
@example(np.full((1, WIDTH), np.inf, np.float32))
@example(np.full((1, WIDTH), -np.inf, np.float32))
@given(rows=ROWS)
def test_margins_probabilities_and_contributions_of_any_row_are_finite(rows: NDArray[np.float32]) -> None:
    margins = detector().margins(rows)
    probabilities = detector().probabilities(margins)
    assert np.all(np.isfinite(margins))
    assert np.all((probabilities > 0.0) & (probabilities < 1.0))
    assert np.all(np.isfinite(detector().contributions(rows)))
