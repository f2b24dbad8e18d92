"""The detector: trees over feature rows, calibrated to probabilities, explained by reason codes.

On disk it is data only, three files: `model.ubj` is the model in XGBoost's own format, `trees.bin` the same trees as
flat arrays (`cardwatch.detector.trees.flat`), `detector.json` the rest. What scores is this class alone, in
training, judging
and serving; XGBoost only grows trees. Reading a detector computes nothing anew, so it costs a service a millisecond.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.detector.calibration import Calibration, interpolate
from cardwatch.detector.trees.contributions import contributions, expected_margin
from cardwatch.detector.trees.flat import FlatTrees
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import CorruptModel, SchemaMismatch
from cardwatch.features.definitions import FEATURE_NAMES, REASONS, SCHEMA_HASH

MODEL_FILE: Final = "model.ubj"
TREES_FILE: Final = "trees.bin"
FACTS_FILE: Final = "detector.json"
MAX_REASONS: Final = 3


class DetectorFacts(Struct, frozen=True, kw_only=True):
    """What `detector.json` holds. `fingerprint` is a hash of the training and calibration data and the settings."""

    schema_hash: str
    feature_names: tuple[str, ...]
    calibration: Calibration
    settings: dict[str, float | int]
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

    def __init__(self, trees: FlatTrees, facts: DetectorFacts) -> None:
        self._trees = trees
        self._points = np.array(facts.calibration.margins), np.array(facts.calibration.probabilities)
        self.facts = facts

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Detector:
        """Read a detector from the contents of its files, by name.

        Raises `CorruptModel` if one is missing or unsound, `SchemaMismatch` if the detector wants other features than
        this code computes.
        """
        if missing := {FACTS_FILE, TREES_FILE} - set(files):
            raise CorruptModel(f"the detector has no {', '.join(sorted(missing))}: train it with this version")
        try:
            facts = msgspec.json.decode(files[FACTS_FILE], type=DetectorFacts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptModel(f"{FACTS_FILE} cannot be read: {str(error).splitlines()[0]}") from error
        if facts.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(
                f"the model wants features of schema {facts.schema_hash}, this code computes {SCHEMA_HASH}: retrain it"
            )
        trees = FlatTrees.from_bytes(files[TREES_FILE])
        if trees.features != len(FEATURE_NAMES):
            raise CorruptModel(
                f"the trees want {trees.features} features, the schema has {len(FEATURE_NAMES)}: retrain the model"
            )
        return cls(trees, facts)

    def margins(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The trees' raw output, float32 [n], higher is riskier: XGBoost's `output_margin`, to the bit."""
        return margins(self._trees, rows)

    def probabilities(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities of fraud for these margins, float64 [n] in 0..1."""
        return interpolate(*self._points, margins)

    def contributions(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """By how much each feature moved each row's margin, exactly: float64 [n, features]; with
        `expected_margin` they add up to the margin.
        """
        return contributions(self._trees, rows)

    def expected_margin(self) -> float:
        """The mean margin of the training rows."""
        return expected_margin(self._trees)

    def reasons(self, rows: NDArray[np.float32], most: int = MAX_REASONS) -> list[list[str]]:
        """Per row up to `most` reason codes: the features that raise its margin most, by exact contributions."""
        return [strongest_reasons(row, most) for row in self.contributions(rows)]


def strongest_reasons(contributions: NDArray[np.float64], most: int = MAX_REASONS) -> list[str]:
    """The reason codes of the features that speak most for fraud, float64 [features]; each code once."""
    order = np.argsort(-contributions, kind="stable")
    codes = dict.fromkeys(REASONS[index] for index in order if contributions[index] > 0)
    return list(codes)[:most]


def digest_of(files: Mapping[str, bytes]) -> str:
    """What names a detector's bytes: the same as `cd FOLDER && sha256sum * | sha256sum` prints."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
