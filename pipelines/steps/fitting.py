"""Fitting of a candidate model on a training window. Bootstrap and retraining use the same settings."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from adapters.runtime.files import read_folder
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.features.reference_table import DAY_MS
from cardwatch.registry import digest_of
from models.training import TrainingSettings, fit_detector
from pipelines.steps.training_set import ReplayedLog, TrainingSet

REFERENCE_FILE: Final = "reference.parquet"
REFERENCE_DAYS: Final = 7
"""Days of the drift reference: one week, so that every weekday has the same weight."""
REFERENCE_ROWS: Final = 5_000
"""Maximum number of rows in the drift reference."""
SETTINGS: Final = TrainingSettings()
CALIBRATION_FOLDS: Final = 5
"""Reciprocal of the fraction of cards that are used for calibration instead of the trees."""

log = logging.getLogger(__name__)


class CandidateModel(Struct, frozen=True, kw_only=True):
    """A fitted model: `digest` is that of the files in `folder`, `fingerprint` that of its training set."""

    detector: Detector
    folder: Path
    digest: str
    fingerprint: str


def fit_candidate(
    training: TrainingSet, recent: NDArray[np.float32], folder: Path, settings: TrainingSettings = SETTINGS
) -> CandidateModel:
    """Fit a detector, and save it in `folder` with its drift reference `recent` (see `recent_rows`).

    The trees are fitted on four fifths of the cards and calibrated on the other fifth. Both parts cover all days, so
    the trees see the newest kind of fraud, and no card is in both parts. The same archive gives the same bytes.
    """
    held_out = _held_out(training.card_ids)
    fitted = fit_detector(
        training.features[~held_out],
        training.is_fraud[~held_out],
        calibration_features=training.features[held_out],
        calibration_is_fraud=training.is_fraud[held_out],
        settings=settings,
    )
    fitted.save(folder)
    pq.write_table(reference_table(fitted.detector, recent), folder / REFERENCE_FILE)
    digest = digest_of(read_folder(folder))
    log.info("fitted the model %s", digest[:12])
    return CandidateModel(detector=fitted.detector, folder=folder, digest=digest, fingerprint=training.fingerprint)


def recent_rows(history: ReplayedLog) -> NDArray[np.float32]:
    """Return the drift reference: feature rows of the newest week, float32 [n, features], evenly spaced in the log.

    Drift is measured on features, so the rows need no mature labels.
    """
    days = history.occurred_at_ms // DAY_MS
    recent = np.flatnonzero((days > days.max() - REFERENCE_DAYS) & ~history.duplicates)
    spread = np.linspace(0, len(recent) - 1, min(len(recent), REFERENCE_ROWS)).astype(np.int64)
    return history.features[recent[spread]]


def reference_table(detector: Detector, recent: NDArray[np.float32]) -> pa.Table:
    """Return the rows as columns with the names of the features, and the detector's `margin` for each row."""
    columns = {name: pa.array(recent[:, position]) for position, name in enumerate(FEATURE_NAMES)}
    return pa.table({**columns, "margin": pa.array(detector.margins(recent))})


def _held_out(card_ids: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return which rows are for calibration, bool [n]. It depends on the card id only."""
    return np.fromiter(
        (zlib.crc32(card.encode()) % CALIBRATION_FOLDS == 0 for card in card_ids), np.bool_, len(card_ids)
    )
