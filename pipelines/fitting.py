"""From a training set to a model on disk: the one recipe that bootstrap and retraining share."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from adapters.runtime.files import read_folder
from cardwatch.detector.detector import Detector, digest_of
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.features.reference_table import DAY_MS
from models.training import TrainingSettings, fit_detector
from pipelines.training_set import ReplayedLog, TrainingSet

REFERENCE_FILE: Final = "reference.parquet"
REFERENCE_DAYS: Final = 7
REFERENCE_ROWS: Final = 5_000
RECIPE: Final = TrainingSettings()
_ONE_CARD_IN: Final = 5


class Candidate(Struct, frozen=True, kw_only=True):
    """A fitted model and the bytes that it is: `digest` is that of `folder`, `fingerprint` that of its training set."""

    detector: Detector
    folder: Path
    digest: str
    fingerprint: str


def fit_candidate(
    training: TrainingSet, recent: NDArray[np.float32], folder: Path, settings: TrainingSettings = RECIPE
) -> Candidate:
    """Fit a detector, and save it with its reference sample. The same archive gives the same bytes.

    `recent`: what drift will be measured from, see `recent_rows`.

    Trees are grown on four fifths of the cards and calibrated on the others: both span the whole time, so the newest
    kind of fraud is in the trees, and no card is on both sides.
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
    pq.write_table(reference_sample(fitted.detector, recent), folder / REFERENCE_FILE)
    return Candidate(
        detector=fitted.detector,
        folder=folder,
        digest=digest_of(read_folder(folder)),
        fingerprint=training.fingerprint,
    )


def recent_rows(log: ReplayedLog) -> NDArray[np.float32]:
    """What drift is measured from: feature rows of the newest week, whose labels nobody needs, float32 [n, features].

    At most `REFERENCE_ROWS` rows, evenly spread over the log. A whole week, so that every weekday counts alike.
    """
    days = log.occurred_at_ms // DAY_MS
    recent = np.flatnonzero((days > days.max() - REFERENCE_DAYS) & ~log.duplicates)
    spread = np.linspace(0, len(recent) - 1, min(len(recent), REFERENCE_ROWS)).astype(np.int64)
    return log.features[recent[spread]]


def reference_sample(detector: Detector, recent: NDArray[np.float32]) -> pa.Table:
    """These rows as columns named like the features, and the detector's `margin` of each."""
    columns = {name: pa.array(recent[:, position]) for position, name in enumerate(FEATURE_NAMES)}
    return pa.table({**columns, "margin": pa.array(detector.margins(recent))})


def _held_out(card_ids: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether a row's card is one of the fifth that calibrates; a card is always on the same side."""
    return np.fromiter((zlib.crc32(card.encode()) % _ONE_CARD_IN == 0 for card in card_ids), np.bool_, len(card_ids))
