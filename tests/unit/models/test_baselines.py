"""Baselines: rules and a logistic regression, compared with scikit-learn and with values counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import FEATURE_NAMES, column
from models import baselines
from models.baselines import LOGISTIC_REGRESSION, RULES, baseline_scores, fit_logistic_regression, rule_scores


def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, len(FEATURE_NAMES))).astype(np.float32)


def labelled(count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    features = rows(count)
    return features, features[:, 0] + features[:, 1] > 1.0


def test_the_score_of_the_rules_is_the_number_of_rules_that_fire() -> None:
    features = np.zeros((3, len(FEATURE_NAMES)), np.float32)
    features[:, column("is_ecommerce")] = 1.0
    features[1:, column("count_1h")] = 8.0
    features[2, column("small_count_1h")] = 3.0
    assert rule_scores(features, DecisionPolicy()).tolist() == [0.0, 1.0, 2.0]


def test_the_regression_is_that_of_scikit_learn_on_standardised_features() -> None:
    features, is_fraud = labelled(500)  # uniform on -1..1: no value is clipped
    ours = fit_logistic_regression(features, is_fraud).logits(features)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=10_000))
    theirs = pipeline.fit(features.astype(np.float64), is_fraud).decision_function(features.astype(np.float64))
    assert np.allclose(ours, theirs, atol=1e-3)


def test_missing_values_become_the_mean_and_have_an_indicator() -> None:
    features, is_fraud = labelled(500)
    features[::3, 5] = np.nan
    features[:, 7] = np.nan  # says nothing: no indicator
    model = fit_logistic_regression(features, is_fraud)
    assert model.indicated.tolist() == [5]
    assert model.mean[5] == pytest.approx(np.nanmean(features[:, 5].astype(np.float64)))
    inputs = model.inputs(features)
    assert inputs.shape == (500, len(FEATURE_NAMES) + 1)
    assert inputs[:, -1].tolist() == np.isnan(features[:, 5]).tolist()
    imputer = SimpleImputer(add_indicator=True)
    kept = np.delete(features, 7, axis=1).astype(np.float64)
    assert imputer.fit_transform(kept).shape[1] == inputs.shape[1] - 1
    assert np.all(inputs[::3, 5] == 0.0)


def test_weights_count_as_repeated_rows() -> None:
    features, is_fraud = labelled(300)
    # Mean and scale are those of the rows, so the pattern of weights leaves them as they are.
    twice = fit_logistic_regression(features, is_fraud, np.full(300, 2.0))
    repeated = fit_logistic_regression(np.repeat(features, 2, axis=0), np.repeat(is_fraud, 2))
    assert np.allclose(twice.logits(features), repeated.logits(features), atol=1e-5)


def test_genuine_rows_that_are_left_out_are_replaced_by_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    features = rows(40_000)
    is_fraud = random.random(40_000) < 1.0 / (1.0 + np.exp(4.0 - 2.0 * features[:, 0]))
    everything = fit_logistic_regression(features, is_fraud)
    monkeypatch.setattr(baselines, "GENUINE_ROWS", 10_000)
    sampled = fit_logistic_regression(features, is_fraud)
    for model in (everything, sampled):
        probabilities = 1.0 / (1.0 + np.exp(-model.logits(features)))
        assert probabilities.sum() == pytest.approx(is_fraud.sum(), rel=0.05)


def test_an_extreme_value_counts_as_five_standard_deviations() -> None:
    features, is_fraud = labelled(300)
    model = fit_logistic_regression(features, is_fraud)
    wild = features[:2].copy()
    wild[0, 0], wild[1, 0] = 1e30, -np.inf
    assert np.abs(model.inputs(wild)).max() == baselines.CLIP
    assert np.all(np.isfinite(model.logits(wild)))


def test_the_baselines_score_rows_that_they_have_not_seen() -> None:
    features, is_fraud = labelled(2_000)
    judged = rows(500, seed=2)
    found = baseline_scores(features, is_fraud, judged, DecisionPolicy())
    assert list(found) == [RULES, LOGISTIC_REGRESSION]
    regression = found[LOGISTIC_REGRESSION]
    assert regression.probabilities is not None
    assert np.array_equal(regression.probabilities > 0.5, regression.scores > 0.0)
    assert np.mean((regression.scores > 0.0) == (judged[:, 0] + judged[:, 1] > 1.0)) > 0.95
    again = baseline_scores(features, is_fraud, judged, DecisionPolicy())[LOGISTIC_REGRESSION]
    assert again.scores.tobytes() == regression.scores.tobytes()
    assert baseline_scores(features, is_fraud, judged[:0], DecisionPolicy())[LOGISTIC_REGRESSION].scores.shape == (0,)


@pytest.mark.parametrize("kind", [True, False])
def test_rows_of_one_class_give_no_regression(kind: bool) -> None:
    features, labels = rows(10), np.full(10, kind)
    assert list(baseline_scores(features, labels, features, DecisionPolicy())) == [RULES]
    with pytest.raises(Misconfigured, match="cannot fit a baseline"):
        fit_logistic_regression(features, labels)
