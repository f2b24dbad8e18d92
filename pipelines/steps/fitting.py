"""Fitting of a candidate model on a training window. Bootstrap and retraining use the same settings."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from adapters.runtime.files import read_folder
from cardwatch.data_contract.contract import CONTRACT_FILE, DataContract, encode_contract
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.features.reference_table import DAY_MS
from cardwatch.promotion.split import NotEnoughHistory, TemporalSplit
from cardwatch.registry import digest_of
from cardwatch.training_policy import TrainingPolicy
from models.cross_fitting import card_folds, fit_cross_fitted
from models.reliability import reliability_points
from models.reliability_plot import reliability_svg
from models.search import SearchRows, search_settings
from models.training import TrainingSettings, WeightedRows
from pipelines.steps.training_set import ReplayedLog, TrainingSet

REFERENCE_FILE: Final = "reference.parquet"
REFERENCE_DAYS: Final = 28
"""Days of the drift reference: whole weeks, so that every weekday has the same weight, and four of them, so that the
usual change from week to week is known."""
DAYS_PER_WEEK: Final = 7
REFERENCE_ROWS: Final = 20_000
"""Maximum number of rows in the drift reference."""
REFERENCE_ENOUGH_ROWS: Final = 2_000
"""Number of rows from which `REFERENCE_DAYS` are enough."""
REFERENCE_MINIMUM_ROWS: Final = 500
"""Minimum number of rows. With fewer, no column of the reference could be compared."""
RELIABILITY_FILE: Final = "reliability.svg"
TRIALS_FILE: Final = "trials.json"
SETTINGS: Final = TrainingSettings()
POLICY: Final = TrainingPolicy()

log = logging.getLogger(__name__)


class CandidateModel(Struct, frozen=True, kw_only=True):
    """A fitted model: `digest` is that of the files in `folder`, `fingerprint` that of its training set.

    `held_out_margins`, float32 [n], and `held_out_probabilities`, float64 [n], are those of its training rows, each by
    trees and a calibration that were fitted without its card.
    """

    detector: Detector
    folder: Path
    digest: str
    fingerprint: str
    held_out_margins: NDArray[np.float32]
    held_out_probabilities: NDArray[np.float64]


class RecentRows(Struct, frozen=True, kw_only=True):
    """Feature rows, float32 [n, features], NaN where missing, and their event days since 1970, int64 [n]."""

    features: NDArray[np.float32]
    days: NDArray[np.int64]


def fit_candidate(
    training: TrainingSet,
    recent: RecentRows,
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    policy: TrainingPolicy = POLICY,
    *,
    contract: DataContract | None = None,
) -> CandidateModel:
    """Fit a detector, and save it in `folder` with its drift reference `recent` (see `recent_rows`) and its contract.

    The trees see all cards, and the calibration is fitted on out-of-fold margins (see `models.cross_fitting`), so both
    know the newest kind of fraud. `reliability.svg` shows how well the probabilities of cards that were not seen agree
    with their labels. With `policy.trials`, `settings` are the default of a search, whose trials are in `trials.json`.
    The same archive gives the same bytes.
    """
    rows = WeightedRows(features=training.features, is_fraud=training.is_fraud, weight=training.weight)
    search = search_settings(SearchRows(rows, training.days, training.card_ids), settings, policy)
    chosen = search.chosen if search else settings
    fold = card_folds(training.card_ids, policy.calibration_folds)
    fit = fit_cross_fitted(rows, fold, chosen, policy.genuine_rows)
    fit.fitted.save(folder)
    if search:
        (folder / TRIALS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(search)))
    points = reliability_points(fit.probabilities, rows.is_fraud, rows.weight)
    title = f"{len(rows):,} training rows, scored by trees and calibration that have not seen their cards"
    (folder / RELIABILITY_FILE).write_text(reliability_svg(points, title), encoding="utf-8")
    detector = fit.fitted.detector
    pq.write_table(reference_table(detector, recent), folder / REFERENCE_FILE)
    if contract is not None:
        (folder / CONTRACT_FILE).write_bytes(encode_contract(contract))
    digest = digest_of(read_folder(folder))
    log.info("fitted the model %s", digest[:12])
    return CandidateModel(
        detector=detector,
        folder=folder,
        digest=digest,
        fingerprint=training.fingerprint,
        held_out_margins=fit.margins,
        held_out_probabilities=fit.probabilities,
    )


def recent_rows(
    history: ReplayedLog, as_of: date, split: TemporalSplit, excluded_days: frozenset[date] = frozenset()
) -> RecentRows:
    """Return the drift reference: feature rows of the newest `REFERENCE_DAYS` days up to `as_of`, evenly spaced.

    Rows of later days have no influence: the log may hold newer days, and single transactions of a wrong clock. Rows of
    `excluded_days` are left out; as many days before them take their place. Days before the training window of `split`
    are not used. While there are fewer than `REFERENCE_ENOUGH_ROWS` rows, the week before is added. Drift is measured
    on features, so the rows need no mature labels.

    Raises `NotEnoughHistory` for fewer than `REFERENCE_MINIMUM_ROWS`.
    """
    rows = np.flatnonzero(history.rows_between(split.train_from, as_of + timedelta(days=1), excluded_days))
    days = history.occurred_at_ms[rows] // DAY_MS
    age = np.unique(-days, return_inverse=True)[1]  # in days that have rows
    used = REFERENCE_DAYS
    while (age < used).sum() < min(REFERENCE_ENOUGH_ROWS, len(rows)):
        used += DAYS_PER_WEEK
    recent = rows[age < used]
    if len(recent) < REFERENCE_MINIMUM_ROWS:
        raise NotEnoughHistory(
            f"there are {len(recent)} transactions from {split.train_from} to {as_of}, {REFERENCE_MINIMUM_ROWS} are "
            "needed as reference: without them drift could never be measured"
        )
    log.info("the drift reference are %d days until %s, with %d transactions", used, as_of, len(recent))
    chosen = recent[np.linspace(0, len(recent) - 1, min(len(recent), REFERENCE_ROWS)).astype(np.int64)]
    return RecentRows(features=history.features[chosen], days=history.occurred_at_ms[chosen] // DAY_MS)


def reference_table(detector: Detector, recent: RecentRows) -> pa.Table:
    """Return the rows as columns with the names of the features, and `margin`, `probability` and event `day`."""
    columns = {name: pa.array(recent.features[:, position]) for position, name in enumerate(FEATURE_NAMES)}
    margins = detector.margins(recent.features)
    scores = {"margin": pa.array(margins), "probability": pa.array(detector.probabilities(margins))}
    return pa.table({**columns, **scores, "day": pa.array(recent.days)})
