"""The detector and its calibration: identical bits, files with data only, reasons that name the cause."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xgboost
from msgspec import json, structs
from numpy.typing import NDArray

from adapters.runtime.files import read_folder
from adapters.runtime.settings import Settings, child_environment
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import FACTS_FILE, MODEL_FILE, TREES_FILE, Detector
from cardwatch.errors import CorruptModel, Misconfigured, SchemaMismatch
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH, column
from cardwatch.registry import digest_of
from models.training import FittedDetector, TrainingSettings, fit_detector
from models.tree_export import flatten

SMALL = TrainingSettings(trees=12, depth=3, features_per_tree=1.0, max_bin=64, threads=1)


def rows(count: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, len(FEATURE_NAMES))).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    return values


def trained_on(*causes: str, settings: TrainingSettings = SMALL) -> FittedDetector:
    """A detector trained on rows that are fraud if one of these features is above 1."""
    features = rows(3_000, seed=1)
    risk = np.nan_to_num(features[:, [column(cause) for cause in causes]]).max(axis=1)
    is_fraud: NDArray[np.bool_] = risk > 1.0
    return fit_detector(
        features[:2_000],
        is_fraud[:2_000],
        calibration_features=features[2_000:],
        calibration_is_fraud=is_fraud[2_000:],
        settings=settings,
    )


@pytest.fixture(scope="module")
def fitted() -> FittedDetector:
    return trained_on("amount_1h", "count_1h", "country_is_new")


@pytest.fixture
def detector(fitted: FittedDetector) -> Detector:
    return fitted.detector


def test_margins_are_xgboosts_output_margin_to_the_bit(fitted: FittedDetector) -> None:
    detector = fitted.detector
    booster = xgboost.Booster(model_file=bytearray(fitted.files[MODEL_FILE]))
    sample = rows(500, seed=2)
    expected = booster.predict(xgboost.DMatrix(sample, feature_names=list(FEATURE_NAMES)), output_margin=True)
    assert detector.margins(sample).dtype == np.float32
    assert detector.margins(sample).tobytes() == expected.tobytes()
    single_rows = np.concatenate([detector.margins(sample[i : i + 1]) for i in range(len(sample))])
    assert single_rows.tobytes() == expected.tobytes()


def test_a_saved_detector_gives_the_same_bits(fitted: FittedDetector, tmp_path: Path) -> None:
    detector = fitted.detector
    fitted.save(tmp_path)
    loaded = Detector.from_files(read_folder(tmp_path))
    sample = rows(500, seed=3)
    margins = loaded.margins(sample)
    assert margins.tobytes() == detector.margins(sample).tobytes()
    assert loaded.probabilities(margins).tobytes() == detector.probabilities(margins).tobytes()
    assert loaded.reasons(sample) == detector.reasons(sample)
    assert loaded.facts == detector.facts
    assert sorted(path.name for path in tmp_path.iterdir()) == [FACTS_FILE, MODEL_FILE, TREES_FILE]


@pytest.mark.rubric("infra-1")
def test_the_same_data_gives_the_same_files_and_another_setting_gives_others() -> None:
    same, again, other = (
        digest_of(trained_on("amount_1h", settings=settings).files)
        for settings in (SMALL, SMALL, structs.replace(SMALL, depth=2))
    )
    assert same == again
    assert same != other


@pytest.mark.rubric("infra-1")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot restrict the cores of a process")
def test_one_core_trains_the_same_model_as_all_of_them() -> None:
    train = (
        "import os, sys, numpy as np, hashlib;"
        "cores = sorted(os.sched_getaffinity(0)); os.sched_setaffinity(0, cores[:int(sys.argv[1])]);"
        "from models.training import *;"
        "x = np.random.default_rng(1).normal(size=(20_000, len(FEATURE_NAMES))).astype(np.float32);"
        "y = x[:, 3] + x[:, 4] > 3;"
        "d = fit_detector(x, y, calibration_features=x, calibration_is_fraud=y, settings=TrainingSettings(trees=5));"
        "print(hashlib.sha256(d.detector.margins(x)).hexdigest())"
    )
    calm = child_environment(Settings(), OMP_WAIT_POLICY="passive")
    of_one, of_all = (
        subprocess.run([sys.executable, "-c", train, cores], env=calm, check=True, capture_output=True).stdout
        for cores in ("1", "1000")
    )
    assert of_one == of_all != b""


def test_no_rows_give_no_scores(detector: Detector) -> None:
    nothing = np.empty((0, len(FEATURE_NAMES)), np.float32)
    assert detector.margins(nothing).shape == (0,)
    assert detector.probabilities(detector.margins(nothing)).shape == (0,)
    assert detector.reasons(nothing) == []


@pytest.mark.rubric("infra-2")
def test_more_of_what_is_risky_is_riskier(detector: Detector) -> None:
    calm, risky = rows(200, seed=4), rows(200, seed=4)
    calm[:, column("country_is_new")], risky[:, column("country_is_new")] = 0.0, 3.0
    assert np.mean(detector.margins(risky) >= detector.margins(calm)) > 0.95  # trees are not monotonic
    assert np.mean(detector.probabilities(detector.margins(risky))) > 0.9


def test_two_features_with_one_reason_give_it_once(detector: Detector) -> None:
    row = np.zeros((2, len(FEATURE_NAMES)), np.float32)
    row[0, [column("count_1h"), column("amount_1h")]] = 3.0
    row[1, column("country_is_new")] = 3.0
    busy, abroad = detector.reasons(row)
    assert busy[0] == "VELOCITY"
    assert abroad[0] == "NEW_COUNTRY"
    assert len(busy) == len(set(busy))
    assert [len(codes) <= 1 for codes in detector.reasons(row, limit=1)] == [True, True]


def test_a_row_without_raised_risk_does_not_name_the_feature() -> None:
    stumps = structs.replace(
        SMALL, features_per_tree=1.0, trees=3, depth=1
    )  # each splits by the cause and nothing else
    detector = trained_on("amount_1h", settings=stumps).detector
    [codes] = detector.reasons(np.zeros((1, len(FEATURE_NAMES)), np.float32))
    assert codes == ["COMBINATION"]


def test_a_feature_that_raises_the_score_gives_no_code_that_is_false_of_the_row(detector: Detector) -> None:
    """The detector has learned that values above 1 are risky: so are 1.5 payments in an hour, which are not several."""
    row = np.full((1, len(FEATURE_NAMES)), np.nan, np.float32)
    row[0, column("count_1h")] = 1.5
    [contributions] = detector.contributions(row)
    assert contributions[column("count_1h")] > 0
    assert detector.reasons(row) == [["COMBINATION"]]


@pytest.mark.parametrize("kind", [True, False])
def test_training_needs_both_kinds_of_rows(kind: bool) -> None:
    features, labels = rows(10, seed=1), np.full(10, kind)
    with pytest.raises(Misconfigured, match="both kinds are needed"):
        fit_detector(features, labels, calibration_features=features, calibration_is_fraud=labels)


def test_the_facts_describe_the_training_data(detector: Detector) -> None:
    assert (detector.facts.rows, detector.facts.schema_hash) == (2_000, SCHEMA_HASH)
    assert detector.facts.base_rate == detector.facts.frauds / 2_000


@pytest.mark.parametrize("file", [FACTS_FILE, TREES_FILE])
def test_a_detector_without_one_of_its_files_says_which(fitted: FittedDetector, file: str) -> None:
    with pytest.raises(CorruptModel, match=f"has no {file}: train it"):
        Detector.from_files({name: content for name, content in fitted.files.items() if name != file})


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (TREES_FILE, b""),
        (TREES_FILE, b"not trees"),
        (FACTS_FILE, b"{}"),
        (FACTS_FILE, b"\xff"),
        (FACTS_FILE, b"[" * 9_999),
    ],
)
def test_a_file_that_cannot_be_read_is_a_corrupt_model(fitted: FittedDetector, file: str, content: bytes) -> None:
    with pytest.raises(CorruptModel, match="cannot be read"):
        Detector.from_files({**fitted.files, file: content})


def test_trees_of_another_width_are_a_corrupt_model(fitted: FittedDetector) -> None:
    booster = xgboost.train(
        {"objective": "binary:logistic"}, xgboost.DMatrix(np.eye(3, dtype=np.float32), np.array([0, 1, 1])), 1
    )
    with pytest.raises(CorruptModel, match="need 3 features"):
        Detector.from_files({**fitted.files, TREES_FILE: flatten(booster).to_bytes()})


def with_facts(fitted: FittedDetector, **changed: object) -> dict[str, bytes]:
    return {**fitted.files, FACTS_FILE: json.encode({**json.decode(fitted.files[FACTS_FILE]), **changed})}


def test_a_model_for_another_schema_is_refused_with_both_hashes(fitted: FittedDetector) -> None:
    with pytest.raises(SchemaMismatch) as refusal:
        Detector.from_files(with_facts(fitted, schema_hash="0123"))
    assert "0123" in str(refusal.value)
    assert SCHEMA_HASH in str(refusal.value)


def test_a_calibration_table_that_falls_is_refused_when_it_is_read(fitted: FittedDetector) -> None:
    falling = {"margins": [0.0, 1.0], "probabilities": [0.5, 0.4]}
    with pytest.raises(CorruptModel, match="must rise"):
        Detector.from_files(with_facts(fitted, calibration=falling))


def test_a_calibration_table_must_rise_between_0_and_1() -> None:
    for margins, probabilities in (
        ([0.0], [0.5]),
        ([0.0, 0.0], [0.1, 0.2]),
        ([0.0, 1.0], [0.2, 0.1]),
        ([0.0, 1.0], [0.1, 1.1]),
        ([0.0, 1.0], [0.1]),
    ):
        with pytest.raises(ValueError, match="calibration table"):
            Calibration(margins=margins, probabilities=probabilities)
