"""Training of a detector: gradient-boosted trees (XGBoost), calibration, and export to flat trees for scoring."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

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
    """Hyperparameters of the trees. The same settings and data give the same model, bit for bit.

    `features_per_tree` is the fraction of columns that each tree samples: feature families overlap, and with few days
    of a new kind of fraud the trees should not all use the same features. `max_bin` is above XGBoost's default of 256
    and `base_score` is not estimated, because the defaults lower the average precision on rare fraud. `threads` is
    fixed, because the order of floating-point sums depends on it. With several threads, set OMP_WAIT_POLICY=passive: on
    a busy machine, spinning threads make training five times slower.
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
        """Return the parameters of `xgboost.train`."""
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


class FittedDetector(Struct, frozen=True):
    """A detector and its files, by name."""

    detector: Detector
    files: dict[str, bytes]

    def save(self, folder: Path) -> None:
        """Write the files to `folder`, which is created."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


class WeightedRows(Struct, frozen=True, kw_only=True):
    """Labelled rows: `features` is float32 [n, features], NaN where missing; `is_fraud` is bool [n].

    `weight`, float32 [n], is how many rows each row stands for, such as the inverse of the probability with which its
    label became known. None means 1 for every row.
    """

    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.is_fraud)

    def at(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> WeightedRows:
        """Return these rows, given as positions or as a mask."""
        weight = None if self.weight is None else self.weight[rows]
        return WeightedRows(features=self.features[rows], is_fraud=self.is_fraud[rows], weight=weight)

    def thinned(self, genuine_rows: int) -> WeightedRows:
        """Return all frauds and at most this many genuine rows, evenly spaced, with weights that stand for all."""
        genuine = np.flatnonzero(~self.is_fraud)
        if len(genuine) <= genuine_rows:
            return self
        kept = genuine[np.linspace(0, len(genuine) - 1, genuine_rows).astype(np.int64)]
        chosen = self.at(np.sort(np.concatenate([np.flatnonzero(self.is_fraud), kept])))
        weight = np.ones(len(chosen), np.float32) if chosen.weight is None else chosen.weight
        scale = np.where(chosen.is_fraud, 1.0, len(genuine) / genuine_rows)
        return structs.replace(chosen, weight=(weight * scale).astype(np.float32))


def fit_detector(
    features: NDArray[np.float32],
    is_fraud: NDArray[np.bool_],
    *,
    calibration_features: NDArray[np.float32],
    calibration_is_fraud: NDArray[np.bool_],
    settings: TrainingSettings | None = None,
) -> FittedDetector:
    """Fit the trees on the training rows, and the calibration on other rows, which must not be training rows.

    `models.cross_fitting` loses no rows to the calibration, and takes several times as long. `features` is float32
    [n, features], NaN where missing; `is_fraud` is bool [n]. Raises `Misconfigured` if a set is empty or the training
    rows have only one class, and `CorruptModel` if the margins of the flat trees differ from XGBoost's in any bit.
    """
    settings = settings or TrainingSettings()
    if not len(calibration_is_fraud):
        raise Misconfigured("cannot calibrate on 0 rows")
    rows = WeightedRows(features=features, is_fraud=is_fraud)
    booster, trees = fit_trees(rows, settings)
    require_same_margins(booster, trees, calibration_features)
    return to_detector(
        booster,
        trees,
        DetectorFacts(
            schema_hash=SCHEMA_HASH,
            feature_names=FEATURE_NAMES,
            calibration=fit_calibration(margins(trees, calibration_features), calibration_is_fraud),
            settings=structs.asdict(settings),
            rows=len(is_fraud),
            frauds=int(is_fraud.sum()),
            fingerprint=fingerprint_of(settings, features, is_fraud, calibration_features, calibration_is_fraud),
        ),
    )


def fit_trees(rows: WeightedRows, settings: TrainingSettings) -> tuple[xgboost.Booster, FlatTrees]:
    """Fit the trees on these rows, and return them in XGBoost's form and as flat trees.

    Raises `Misconfigured` if the rows have only one class, and `CorruptModel` if the two forms differ in the margin of
    a row.
    """
    require_both_classes(rows)
    matrix = xgboost.QuantileDMatrix(
        rows.features,
        rows.is_fraud,
        weight=rows.weight,
        feature_names=list(FEATURE_NAMES),
        max_bin=settings.max_bin,
        nthread=settings.threads,
    )
    booster = xgboost.train(settings.to_xgboost(), matrix, num_boost_round=settings.trees)
    trees = flatten(booster)
    require_same_margins(booster, trees, rows.features)
    return booster, trees


def require_both_classes(rows: WeightedRows) -> None:
    """Raise `Misconfigured` if all rows are fraud, or none is."""
    frauds = int(rows.is_fraud.sum())
    if not 0 < frauds < len(rows):
        raise Misconfigured(f"cannot train on {len(rows)} rows of which {frauds} are fraud: both kinds are needed")


def to_detector(booster: xgboost.Booster, trees: FlatTrees, facts: DetectorFacts) -> FittedDetector:
    """Return the detector of these trees with its files."""
    files = {
        MODEL_FILE: bytes(booster.save_raw("ubj")),
        TREES_FILE: trees.to_bytes(),
        FACTS_FILE: msgspec.json.format(msgspec.json.encode(facts), indent=1),
    }
    return FittedDetector(Detector.from_files(files), files)


def fingerprint_of(settings: Struct, *arrays: NDArray[Any]) -> str:
    """Return the SHA-256 of settings, feature schema and arrays, in hexadecimal digits."""
    state = hashlib.sha256(msgspec.json.encode((settings, SCHEMA_HASH)))
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()
