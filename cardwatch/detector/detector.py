"""The detector: gradient-boosted trees over feature rows, calibrated to probabilities, explained by reason codes.

On disk it is three files with data only: `model.ubj` is the model in XGBoost's own format, `trees.bin` the same trees
as flat arrays (`cardwatch.detector.trees.flat`), `detector.json` the metadata. Training, evaluation and serving all
score with this class; XGBoost only trains the trees. Loading a detector takes about a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from cardwatch.detector.calibration import Calibration, interpolate
from cardwatch.detector.trees.contributions import contributions, expected_margin
from cardwatch.detector.trees.flat import FlatTrees
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import CorruptModel, SchemaMismatch
from cardwatch.features.definitions import FEATURE_NAMES, REASONS, SCHEMA_HASH
from cardwatch.features.reason_codes import NEUTRAL_CODE, SUPPORTING_CODES, features_with_true_code

MODEL_FILE: Final = "model.ubj"
TREES_FILE: Final = "trees.bin"
FACTS_FILE: Final = "detector.json"
MAX_REASONS: Final = 3
"""Default maximum number of reason codes per decision."""


class DetectorFacts(Struct, frozen=True, kw_only=True):
    """The content of `detector.json`. `fingerprint` is a hash of the training data, calibration data and settings.

    `calibration_folds` is the number of folds of cards whose out-of-fold margins the calibration was fitted on; 0 if it
    was fitted on rows that the trees were not trained on. `calibration_quality` are measures of the probabilities of
    cards that neither trees nor calibration have seen; models of before have none.
    """

    schema_hash: str
    feature_names: tuple[str, ...]
    calibration: Calibration
    settings: dict[str, float | int]
    rows: int
    frauds: int
    fingerprint: str
    calibration_folds: int = 0
    calibration_quality: dict[str, float] = field(default_factory=dict)

    @property
    def base_rate(self) -> float:
        """Share of fraud in the training rows."""
        return self.frauds / self.rows


class Detector:
    """A trained model. Feature rows are float32 [n, features] in the order of the feature table, NaN where missing.

    Its methods are thread-safe. Those that take rows raise `ValueError` for rows of another width. `features`: that
    width. `arrays`: what compiled code needs for a margin and its probability, as `margin_of` and `probability_of` do.
    """

    def __init__(self, trees: FlatTrees, facts: DetectorFacts) -> None:
        self._trees = trees
        self._points = np.array(facts.calibration.margins), np.array(facts.calibration.probabilities)
        self.facts = facts
        self.features: Final = trees.features
        self.arrays: Final = (trees.nodes, trees.values, trees.roots, trees.depths, trees.base_margin, *self._points)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, schema_hash: str = SCHEMA_HASH) -> Detector:
        """Load a detector from the contents of its files, by name, for rows of the feature schema `schema_hash`.

        The default is the schema that this code computes. With the schema of a recorded decision, the detector scores
        its recorded row again; of a former schema it knows no reason codes.

        Raises `CorruptModel` if a file is missing or invalid, `SchemaMismatch` if the detector was trained on another
        feature schema.
        """
        if missing := {FACTS_FILE, TREES_FILE} - set(files):
            raise CorruptModel(f"the detector has no {', '.join(sorted(missing))}: train it with this version")
        try:
            facts = msgspec.json.decode(files[FACTS_FILE], type=DetectorFacts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptModel(f"{FACTS_FILE} cannot be read: {str(error).splitlines()[0]}") from error
        if facts.schema_hash != schema_hash:
            raise SchemaMismatch(
                f"the model needs features of schema {facts.schema_hash}, this code computes {SCHEMA_HASH}: run "
                "`cardwatch upgrade`, which trains a model for this version"
                if schema_hash == SCHEMA_HASH
                else f"the model needs features of schema {facts.schema_hash}, the rows have {schema_hash}"
            )
        trees = FlatTrees.from_bytes(files[TREES_FILE])
        names = FEATURE_NAMES if schema_hash == SCHEMA_HASH else facts.feature_names
        if trees.features != len(names):
            raise CorruptModel(
                f"the trees need {trees.features} features, the schema has {len(names)}: retrain the model"
            )
        return cls(trees, facts)

    def margins(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the trees' raw output, float32 [n], higher is riskier; bit-identical to XGBoost's `output_margin`.

        The example's detector has one tree with one split, on the amount:

        >>> from cardwatch.warm_up import one_split_detector
        >>> detector, rows = one_split_detector(), np.full((2, len(FEATURE_NAMES)), np.nan, np.float32)
        >>> rows[1, FEATURE_NAMES.index("amount")] = 250.0
        >>> detector.margins(rows).tolist(), detector.reasons(rows)
        ([-1.0, 1.0], [['COMBINATION'], ['AMOUNT', 'COMBINATION']])
        """
        return margins(self._trees, rows)

    def probabilities(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the calibrated probabilities of fraud of these margins, float64 [n] in 0..1."""
        return interpolate(*self._points, margins)

    def contributions(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the exact Shapley values of each row, float64 [n, features], in units of the margin.

        With `expected_margin` they add up to the margin.
        """
        return contributions(self._trees, rows)

    def expected_margin(self) -> float:
        """Return the mean margin of the training rows."""
        return expected_margin(self._trees)

    def reasons(self, rows: NDArray[np.float32], limit: int = MAX_REASONS) -> list[list[str]]:
        """Return per row 1 to `limit` reason codes: those of the features that raise its margin most, if they are true.

        See `strongest_reasons`. Raises `SchemaMismatch` for a detector of a former feature schema, whose reason codes
        are not known any more.
        """
        if self.facts.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the reason codes of features of schema {self.facts.schema_hash} are not known")
        return strongest_reasons(rows, self.contributions(rows), limit)


def strongest_reasons(
    rows: NDArray[np.float32], contributions: NDArray[np.float64], limit: int = MAX_REASONS
) -> list[list[str]]:
    """Return for each feature row 1 to `limit` distinct reason codes, strongest first. `limit` is at least 1.

    `rows` and their `contributions` have the shape [n, features]. A code counts if it is true of the row and at least
    one of its features has a positive contribution. If all codes up to the limit are in `SUPPORTING_CODES`, the last
    place goes to the strongest other code, or to `NEUTRAL_CODE` if there is none.

    >>> rows, contributions = np.zeros((2, 2, len(REASONS)))
    >>> new_country, count_1h, amount = map(FEATURE_NAMES.index, ("country_is_new", "count_1h", "amount"))
    >>> contributions[:, [new_country, count_1h, amount]] = 0.4, 1.2, 0.1
    >>> rows[0, [new_country, count_1h]] = 1.0, 4.0
    >>> strongest_reasons(rows, contributions)
    [['VELOCITY', 'NEW_COUNTRY', 'AMOUNT'], ['AMOUNT', 'COMBINATION']]
    """
    counted = (contributions > 0.0) & features_with_true_code(rows)
    return [
        _strongest(of_row, np.flatnonzero(found), limit) for of_row, found in zip(contributions, counted, strict=True)
    ]


def _strongest(contributions: NDArray[np.float64], features: NDArray[np.int64], limit: int) -> list[str]:
    order = features[np.argsort(-contributions[features], kind="stable")].tolist()
    codes = list(dict.fromkeys(REASONS[index] for index in order))
    chosen = codes[:limit]
    if SUPPORTING_CODES.issuperset(chosen):
        other = next((code for code in codes if code not in SUPPORTING_CODES), NEUTRAL_CODE)
        chosen = [*chosen[: limit - 1], other]
    return chosen
