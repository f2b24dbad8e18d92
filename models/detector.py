"""The detector: gradient-boosted trees over feature rows, calibrated to probabilities, explained by reason codes.

On disk it is data only: `model.ubj` is XGBoost's own format, `detector.json` is ours. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import xgboost
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.errors import CorruptModel, Misconfigured, SchemaMismatch
from cardwatch.features.table import FEATURE_NAMES, REASONS, SCHEMA_HASH
from models.calibration import Calibration, fit_calibration

MODEL_FILE: Final = "model.ubj"
FACTS_FILE: Final = "detector.json"


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


class DetectorFacts(Struct, frozen=True, kw_only=True):
    """What `detector.json` holds. `fingerprint` is a hash of the training and calibration data and the settings."""

    schema_hash: str
    feature_names: tuple[str, ...]
    calibration: Calibration
    settings: TrainingSettings
    rows: int
    frauds: int
    fingerprint: str

    @property
    def base_rate(self) -> float:
        """The share of fraud in the training rows."""
        return self.frauds / self.rows


class Detector:
    """A fitted model. Feature rows are float32 [n, features] in the order of the feature table, NaN where missing.

    Safe to use from several threads at once.
    """

    def __init__(self, booster: xgboost.Booster, facts: DetectorFacts) -> None:
        self._booster = booster
        self.facts = facts

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        is_fraud: NDArray[np.bool_],
        *,
        calibration_features: NDArray[np.float32],
        calibration_is_fraud: NDArray[np.bool_],
        settings: TrainingSettings | None = None,
    ) -> Detector:
        """Grow the trees on the first set and calibrate on the second, which must not overlap it.

        Raises `Misconfigured` if either set lacks rows or the training set lacks fraud or genuine rows.
        """
        settings = settings or TrainingSettings()
        frauds = int(is_fraud.sum())
        if not 0 < frauds < len(is_fraud):
            raise Misconfigured(
                f"cannot train on {len(is_fraud)} rows of which {frauds} are fraud: both kinds are needed"
            )
        if not len(calibration_is_fraud):
            raise Misconfigured("cannot calibrate on 0 rows")
        matrix = xgboost.QuantileDMatrix(
            features,
            is_fraud,
            feature_names=list(FEATURE_NAMES),
            max_bin=settings.max_bin,
            nthread=settings.threads,
        )
        booster = xgboost.train(settings.to_xgboost(), matrix, num_boost_round=settings.trees)
        facts = DetectorFacts(
            schema_hash=SCHEMA_HASH,
            feature_names=FEATURE_NAMES,
            calibration=fit_calibration(_margins(booster, calibration_features), calibration_is_fraud),
            settings=settings,
            rows=len(is_fraud),
            frauds=frauds,
            fingerprint=_fingerprint(settings, features, is_fraud, calibration_features, calibration_is_fraud),
        )
        return cls(booster, facts)

    def margins(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The trees' raw output, higher is riskier: what XGBoost calls `output_margin`, to the bit."""
        return _margins(self._booster, rows)

    def probabilities(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities of fraud for these margins."""
        return self.facts.calibration.apply(margins)

    def reasons(self, rows: NDArray[np.float32], most: int = 3) -> list[list[str]]:
        """Per row up to `most` reason codes: the features that raise its margin most, by exact contributions."""
        if not len(rows):
            return []
        matrix = xgboost.DMatrix(rows, feature_names=list(FEATURE_NAMES), nthread=1)
        contributions = self._booster.predict(matrix, pred_contribs=True)[:, :-1]
        return [_strongest(row, most) for row in contributions]

    def save(self, folder: Path) -> None:
        """Write the two files, making the folder. The same detector gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).write_bytes(bytes(self._booster.save_raw("ubj")))
        (folder / FACTS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self.facts), indent=1))

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Detector:
        """Read what `save` wrote; `threads` is how many one prediction may use.

        Raises `CorruptModel` if a file is missing or unreadable, `SchemaMismatch` if the detector wants other features
        than this code computes.
        """
        try:
            facts = msgspec.json.decode((folder / FACTS_FILE).read_bytes(), type=DetectorFacts)
            booster = xgboost.Booster({"nthread": threads}, model_file=bytearray((folder / MODEL_FILE).read_bytes()))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, xgboost.core.XGBoostError) as error:
            raise CorruptModel(f"the detector in {folder} cannot be read: {_first_line(error)}") from error
        if facts.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(
                f"the model wants features of schema {facts.schema_hash}, this code computes {SCHEMA_HASH}: retrain it"
            )
        if booster.num_features() != len(FEATURE_NAMES):
            raise CorruptModel(
                f"the trees in {folder} want {booster.num_features()} features, {FACTS_FILE} names {len(FEATURE_NAMES)}"
            )
        return cls(booster, facts)


def digest(folder: Path) -> str:
    """What names a detector's bytes: the same as `cd FOLDER && sha256sum * | sha256sum` prints."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _margins(booster: xgboost.Booster, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(rows):
        return np.empty(0, np.float32)
    margins: NDArray[np.float32] = booster.inplace_predict(
        np.ascontiguousarray(rows), predict_type="margin", validate_features=False
    )
    return margins


def _strongest(contributions: NDArray[np.float32], most: int) -> list[str]:
    order = np.argsort(-contributions, kind="stable")
    codes = dict.fromkeys(REASONS[index] for index in order if contributions[index] > 0)
    return list(codes)[:most]


def _fingerprint(settings: TrainingSettings, *arrays: NDArray[np.float32] | NDArray[np.bool_]) -> str:
    state = hashlib.sha256(msgspec.json.encode((settings, SCHEMA_HASH)))
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
