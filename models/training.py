"""How a detector is grown: gradient-boosted trees by XGBoost, a calibration, and the flat trees that will score."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import xgboost
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.detector.detector import FACTS_FILE, MODEL_FILE, TREES_FILE, Detector, DetectorFacts
from cardwatch.detector.trees.flat import FlatTrees
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from models.calibration import fit_calibration
from models.tree_export import flatten, require_same_margins


class TrainingSettings(Struct, frozen=True, kw_only=True):
    """How the trees are grown. The same settings and data give the same model to the bit.

    Every tree sees `features_per_tree` of the columns, drawn anew: families of features overlap, and with a few days of
    a new kind of fraud the trees should not all lean on the same ones. `max_bin` is far above XGBoost's 256, and
    `base_score` is not estimated: both cost average precision on rare fraud.
    `threads` is fixed rather than taken from the machine, because sums depend on how they are divided. With more than
    one, run under OMP_WAIT_POLICY=passive: on a busy machine threads that spin for each other take five times as long.
    """

    trees: int = 100
    depth: int = 5
    learning_rate: float = 0.15
    min_child_weight: float = 1.0
    features_per_tree: float = 0.5
    max_bin: int = 4096
    base_score: float = 0.5
    seed: int = 7
    threads: int = 1

    def to_xgboost(self) -> dict[str, object]:
        """The booster parameters."""
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": self.depth,
            "learning_rate": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "colsample_bytree": self.features_per_tree,
            "max_bin": self.max_bin,
            "base_score": self.base_score,
            "seed": self.seed,
            "nthread": self.threads,
        }


class Fitted(Struct, frozen=True):
    """A detector that answers, and the files that it is, by name."""

    detector: Detector
    files: dict[str, bytes]

    def save(self, folder: Path) -> None:
        """Write the files, making the folder. The same data and settings give the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def fit_detector(
    features: NDArray[np.float32],
    is_fraud: NDArray[np.bool_],
    *,
    calibration_features: NDArray[np.float32],
    calibration_is_fraud: NDArray[np.bool_],
    settings: TrainingSettings | None = None,
) -> Fitted:
    """Grow the trees on the first set and calibrate on the second, which must not overlap it.

    Raises `Misconfigured` if either set lacks rows or the training set lacks fraud or genuine rows, and `CorruptModel`
    if the flat trees do not give both sets XGBoost's margins to the bit.
    """
    settings = settings or TrainingSettings()
    frauds = int(is_fraud.sum())
    if not 0 < frauds < len(is_fraud):
        raise Misconfigured(f"cannot train on {len(is_fraud)} rows of which {frauds} are fraud: both kinds are needed")
    if not len(calibration_is_fraud):
        raise Misconfigured("cannot calibrate on 0 rows")
    booster = _grow(features, is_fraud, settings)
    trees = flatten(booster)
    for rows in (features, calibration_features):
        require_same_margins(booster, trees, rows)
    facts = DetectorFacts(
        schema_hash=SCHEMA_HASH,
        feature_names=FEATURE_NAMES,
        calibration=fit_calibration(margins(trees, calibration_features), calibration_is_fraud),
        settings=structs.asdict(settings),
        rows=len(is_fraud),
        frauds=frauds,
        fingerprint=_fingerprint(settings, features, is_fraud, calibration_features, calibration_is_fraud),
    )
    return _fitted(booster, trees, facts)


def _grow(features: NDArray[np.float32], is_fraud: NDArray[np.bool_], settings: TrainingSettings) -> xgboost.Booster:
    matrix = xgboost.QuantileDMatrix(
        features,
        is_fraud,
        feature_names=list(FEATURE_NAMES),
        max_bin=settings.max_bin,
        nthread=settings.threads,
    )
    return xgboost.train(settings.to_xgboost(), matrix, num_boost_round=settings.trees)


def _fitted(booster: xgboost.Booster, trees: FlatTrees, facts: DetectorFacts) -> Fitted:
    files = {
        MODEL_FILE: bytes(booster.save_raw("ubj")),
        TREES_FILE: trees.to_bytes(),
        FACTS_FILE: msgspec.json.format(msgspec.json.encode(facts), indent=1),
    }
    return Fitted(Detector.from_files(files), files)


def _fingerprint(settings: TrainingSettings, *arrays: NDArray[np.float32] | NDArray[np.bool_]) -> str:
    state = hashlib.sha256(msgspec.json.encode((settings, SCHEMA_HASH)))
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()
