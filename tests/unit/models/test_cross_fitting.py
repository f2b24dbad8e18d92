"""Cross-fitting: no card helps to score itself, and the calibration fits cards that were not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs
from numpy.typing import NDArray

from cardwatch.detector.detector import FACTS_FILE, Detector, DetectorFacts
from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import FEATURE_NAMES
from models.cross_fitting import card_folds, fit_cross_fitted, out_of_fold_margins, out_of_fold_probabilities
from models.training import TrainingSettings, WeightedRows

SETTINGS = TrainingSettings(trees=10, depth=3, features_per_tree=1.0, max_bin=64)


def rows(count: int, seed: int = 1) -> WeightedRows:
    """Rows that are fraud with a probability that the first feature gives."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, len(FEATURE_NAMES))).astype(np.float32)
    is_fraud: NDArray[np.bool_] = random.random(count) < 1.0 / (1.0 + np.exp(2.0 - 2.0 * features[:, 0]))
    return WeightedRows(features=features, is_fraud=is_fraud)


@given(cards=st.lists(st.text(max_size=8), min_size=1), folds=st.integers(2, 20))
def test_all_rows_of_a_card_are_in_one_fold_wherever_they_stand(cards: list[str], folds: int) -> None:
    found = card_folds(cards, folds)
    assert np.all((found >= 0) & (found < folds))
    assert found.tolist() == [int(card_folds([card], folds)[0]) for card in cards]


@pytest.mark.rubric("infra-2")
def test_a_fold_has_no_influence_on_its_own_margins() -> None:
    data, fold = rows(600), np.arange(600) % 3
    before = out_of_fold_margins(data, fold, SETTINGS)
    changed = WeightedRows(features=data.features, is_fraud=np.where(fold == 1, ~data.is_fraud, data.is_fraud))
    after = out_of_fold_margins(changed, fold, SETTINGS)
    assert np.array_equal(before[fold == 1], after[fold == 1])
    assert not np.array_equal(before[fold == 0], after[fold == 0])


def test_the_calibration_of_a_fold_does_not_know_its_labels() -> None:
    data, fold = rows(600), np.arange(600) % 3
    held_out = out_of_fold_margins(data, fold, SETTINGS)
    changed = WeightedRows(features=data.features, is_fraud=np.where(fold == 1, ~data.is_fraud, data.is_fraud))
    before, after = (out_of_fold_probabilities(held_out, each, fold) for each in (data, changed))
    assert np.array_equal(before[fold == 1], after[fold == 1])
    assert not np.array_equal(before[fold == 0], after[fold == 0])


def test_probabilities_of_cards_that_were_not_seen_add_up_to_their_frauds() -> None:
    data, unseen = rows(6_000), rows(6_000, seed=2)
    detector = fit_cross_fitted(data, np.arange(6_000) % 5, SETTINGS).fitted.detector
    probabilities = detector.probabilities(detector.margins(unseen.features))
    assert probabilities.sum() == pytest.approx(unseen.is_fraud.sum(), rel=0.05)
    quality = detector.facts.calibration_quality
    assert quality["expected_to_observed"] == pytest.approx(1.0, abs=0.01)
    assert quality["brier"] == pytest.approx(np.mean((probabilities - unseen.is_fraud) ** 2), rel=0.05)


def test_the_trees_see_all_rows_and_the_facts_say_so() -> None:
    facts = fit_cross_fitted(rows(500), np.arange(500) % 4, SETTINGS).fitted.detector.facts
    assert (facts.rows, facts.calibration_folds) == (500, 4)


def test_the_same_rows_give_the_same_files_and_a_weight_gives_others() -> None:
    data, fold = rows(500), np.arange(500) % 2
    weighted = WeightedRows(
        features=data.features, is_fraud=data.is_fraud, weight=np.where(fold == 0, 1.0, 3.0).astype(np.float32)
    )
    same, again, other = (fit_cross_fitted(each, fold, SETTINGS).fitted.files for each in (data, data, weighted))
    assert same == again
    assert {name for name in same if same[name] != other[name]} == set(same)


def test_weights_of_one_change_no_score() -> None:
    data, fold = rows(500), np.arange(500) % 2
    ones = WeightedRows(features=data.features, is_fraud=data.is_fraud, weight=np.ones(500, np.float32))
    plain, weighted = (fit_cross_fitted(each, fold, SETTINGS) for each in (data, ones))
    assert plain.probabilities.tobytes() == weighted.probabilities.tobytes()


def test_cards_of_a_single_fold_are_refused() -> None:
    with pytest.raises(Misconfigured, match="too few cards"):
        fit_cross_fitted(rows(100), np.zeros(100, np.int64), SETTINGS)


def test_a_model_from_before_cross_fitting_can_be_read() -> None:
    fit = fit_cross_fitted(rows(500), np.arange(500) % 2, SETTINGS).fitted
    facts = json.decode(fit.files[FACTS_FILE])
    del facts["calibration_folds"], facts["calibration_quality"]
    facts["calibration"] = {"margins": [-1.0, 0.0, 1.0], "probabilities": [0.1, 0.1, 0.2]}  # with a plateau
    former = Detector.from_files({**fit.files, FACTS_FILE: json.encode(facts)})
    assert former.facts == DetectorFacts(
        **{**facts, "calibration": former.facts.calibration, "feature_names": FEATURE_NAMES}
    )
    assert former.facts.calibration_folds == 0


def test_genuine_rows_that_are_left_out_are_replaced_by_weights() -> None:
    data = rows(3_000)
    weighted = structs.replace(data, weight=np.full(3_000, 2.0, np.float32))
    found = weighted.thinned(500)
    assert found.weight is not None
    assert int((~found.is_fraud).sum()) == 500
    assert found.weight[found.is_fraud].tolist() == [2.0] * int(data.is_fraud.sum())
    assert found.weight[~found.is_fraud].sum() == pytest.approx(2.0 * (~data.is_fraud).sum(), rel=1e-5)
    assert data.thinned(3_000) is data


def test_folds_that_see_few_genuine_rows_still_calibrate_all() -> None:
    data, unseen = rows(6_000), rows(6_000, seed=2)
    detector = fit_cross_fitted(data, np.arange(6_000) % 5, SETTINGS, genuine_rows=2_500).fitted.detector
    probabilities = detector.probabilities(detector.margins(unseen.features))
    assert probabilities.sum() == pytest.approx(unseen.is_fraud.sum(), rel=0.06)
