"""The search for settings: seeded and bounded, on later days than it trains on, and cautious about luck."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.training_policy import TrainingPolicy
from models.search import SearchRows, Trial, choose, search_settings
from models.training import TrainingSettings, WeightedRows

DAYS = 30
DEFAULTS = TrainingSettings(trees=8, depth=2, learning_rate=0.3, features_per_tree=1.0, max_bin=64)
POLICY = TrainingPolicy(
    trials=4,
    validation_days=5,
    gap_days=6,
    genuine_rows=1_000,
    early_stopping_trees=3,
    maximum_trees=20,
    maximum_depth=3,
)
TRAIN_UNTIL = DAYS - POLICY.validation_days - POLICY.gap_days
"""First day of the gap: the last training day is 18, the first validation day 25."""


def data(seed: int = 1, count: int = 3_000) -> SearchRows:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, len(FEATURE_NAMES))).astype(np.float32)
    is_fraud: NDArray[np.bool_] = random.random(count) < 1.0 / (1.0 + np.exp(3.0 - 2.0 * features[:, 0]))
    rows = WeightedRows(features=features, is_fraud=is_fraud)
    return SearchRows(rows, np.arange(count) % DAYS, random.integers(0, 200, count))


def with_labels(found: SearchRows, is_fraud: NDArray[np.bool_]) -> SearchRows:
    return found._replace(rows=WeightedRows(features=found.rows.features, is_fraud=is_fraud))


def trial(log_loss: float, improvement: float, standard_error: float, depth: int) -> Trial:
    settings = structs.replace(DEFAULTS, depth=depth)
    return Trial(settings=settings, log_loss=log_loss, improvement=improvement, standard_error=standard_error)


def test_without_trials_nothing_is_searched() -> None:
    assert search_settings(data(), DEFAULTS, structs.replace(POLICY, trials=0)) is None


def test_the_same_seed_tries_the_same_settings_and_another_seed_others() -> None:
    first, again, other = (
        search_settings(data(), DEFAULTS, structs.replace(POLICY, trials=3, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_all_trials_are_within_the_bounds_and_the_defaults_are_tried_first() -> None:
    search = search_settings(data(), DEFAULTS, POLICY)
    assert search is not None
    assert len(search.trials) == 1 + POLICY.trials
    assert search.trials[0].settings == DEFAULTS
    assert (search.trials[0].improvement, search.trials[0].standard_error) == (0.0, 0.0)
    early_stopped = search.trials[1].settings
    assert structs.replace(early_stopped, trees=DEFAULTS.trees) == DEFAULTS
    for each in search.trials[1:]:
        assert 1 <= each.settings.trees <= POLICY.maximum_trees
        assert 2 <= each.settings.depth <= POLICY.maximum_depth
        assert each.improvement == pytest.approx(search.trials[0].log_loss - each.log_loss)


def test_defaults_beyond_the_bounds_are_reduced_to_them() -> None:
    large = structs.replace(DEFAULTS, trees=50, depth=6)
    search = search_settings(data(), large, structs.replace(POLICY, trials=1))
    assert search is not None
    assert search.trials[0].settings == structs.replace(large, trees=POLICY.maximum_trees, depth=POLICY.maximum_depth)


def test_labels_of_the_days_between_training_and_validation_have_no_influence() -> None:
    found = data()
    between = (found.days >= TRAIN_UNTIL) & (found.days < DAYS - POLICY.validation_days)
    assert between.sum() == 600
    flipped = with_labels(found, np.where(between, ~found.rows.is_fraud, found.rows.is_fraud))
    assert search_settings(flipped, DEFAULTS, POLICY) == search_settings(found, DEFAULTS, POLICY)
    for day in (TRAIN_UNTIL - 1, DAYS - POLICY.validation_days):
        other = with_labels(found, np.where(found.days == day, ~found.rows.is_fraud, found.rows.is_fraud))
        assert search_settings(other, DEFAULTS, POLICY) != search_settings(found, DEFAULTS, POLICY)


@pytest.mark.parametrize(("first", "until"), [(0, TRAIN_UNTIL), (DAYS - POLICY.validation_days, DAYS)])
def test_days_without_fraud_leave_the_default_settings(first: int, until: int) -> None:
    found = data()
    lacking = (found.days >= first) & (found.days < until)
    assert search_settings(with_labels(found, found.rows.is_fraud & ~lacking), DEFAULTS, POLICY) is None


def test_a_window_that_is_too_short_leaves_the_default_settings() -> None:
    found = data()
    assert search_settings(found._replace(days=found.days % 11), DEFAULTS, POLICY) is None


def test_the_best_trial_is_chosen_if_it_is_better_by_more_than_the_error() -> None:
    default, lucky, better = trial(0.5, 0.0, 0.0, 2), trial(0.4, 0.1, 0.11, 3), trial(0.35, 0.15, 0.14, 4)
    assert choose([default]) == default.settings
    assert choose([default, lucky]) == default.settings
    assert choose([default, lucky, better]) == better.settings
