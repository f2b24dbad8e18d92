"""The comparison with a champion that cannot score the rows, because it needs features of a former schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec import structs

from adapters.runtime.policy_file import Policies
from cardwatch.events import to_epoch_ms
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.gate import PromotionPolicy
from cardwatch.promotion.split import TemporalSplit
from cardwatch.registry import ModelVersion
from cardwatch.warm_up import one_split_detector
from pipelines.steps.comparison import compare_champion_challenger
from pipelines.steps.training_set import TrainingSet
from tests.former_version import FORMER_SCHEMA

FIRST = datetime(2025, 1, 6, 12, tzinfo=UTC)
SPLIT = TemporalSplit(
    train_from=FIRST.date(), evaluate_from=FIRST.date(), evaluate_until=(FIRST + timedelta(days=4)).date()
)


class FormerChampion:
    """A registry with a champion of a former schema."""

    def champion(self) -> ModelVersion:
        return ModelVersion(version="4", run_id="", tags={"schema_hash": FORMER_SCHEMA})

    def alias(self, _name: str, /) -> ModelVersion | None:
        return self.champion()

    def version(self, _version: str, /) -> ModelVersion | None:
        return self.champion()

    def files(self, _version: ModelVersion, /) -> dict[str, bytes]:
        raise AssertionError("a model of another schema cannot score these rows")


def rows() -> TrainingSet:
    """Eight rows on four days. Every second is a fraud, and has an amount, which is what the detector looks for."""
    features = np.full((8, len(FEATURE_NAMES)), np.nan, np.float32)
    is_fraud = np.arange(8) % 2 == 1
    features[is_fraud, FEATURE_NAMES.index("amount")] = 250.0
    occurred_at_ms = [to_epoch_ms(FIRST + timedelta(hours=12 * number)) for number in range(8)]
    return TrainingSet(
        features=features,
        is_fraud=is_fraud,
        weight=np.ones(8, np.float32),
        declined_by_rules=np.zeros(8, np.bool_),
        amount_minor=np.full(8, 25_000, np.int64),
        occurred_at_ms=np.array(occurred_at_ms, np.int64),
        card_ids=np.array([f"card-{number}" for number in range(8)], np.object_),
        transaction_ids=np.array([f"t-{number}" for number in range(8)], np.object_),
        fingerprint="",
        label_coverage=LabelCoverage(known_fraud=4, presumed_genuine=4),
    )


def test_the_challenger_is_judged_like_a_first_model_and_the_verdict_says_why() -> None:
    gate = PromotionPolicy(minimum_rows=1, minimum_frauds=1, calibration_factor=1e9)
    compared = compare_champion_challenger(
        FormerChampion(), one_split_detector(), rows(), SPLIT, structs.replace(Policies(), promotion=gate)
    )
    assert compared.verdict.promoted
    assert (compared.champion, compared.champion_version) == (None, None)
    assert compared.verdict.reasons[0].endswith("the champion (version 4) needs other features and cannot be compared")
    assert compared.challenger.average_precision == 1.0


def test_a_challenger_that_fails_the_gate_for_first_models_is_not_promoted() -> None:
    flawed = rows()
    flawed.features[:] = -flawed.features  # no amount is positive: the detector sees no fraud
    gate = PromotionPolicy(minimum_rows=1, minimum_frauds=1, minimum_average_precision=0.9, calibration_factor=1e9)
    compared = compare_champion_challenger(
        FormerChampion(), one_split_detector(), flawed, SPLIT, structs.replace(Policies(), promotion=gate)
    )
    assert not compared.verdict.promoted


def test_the_baselines_are_trained_on_the_days_before_and_judged_on_the_same_rows() -> None:
    split = structs.replace(SPLIT, evaluate_from=(FIRST + timedelta(days=2)).date())
    compared = compare_champion_challenger(FormerChampion(), one_split_detector(), rows(), split, Policies())
    assert set(compared.baselines) == {"rules", "logistic_regression"}
    assert {each.rows for each in compared.baselines.values()} == {compared.challenger.rows} == {4}
    rules, regression = compared.baselines["rules"], compared.baselines["logistic_regression"]
    # No rule fires: everything is approved. The regression has learned that a row with an amount is fraud.
    assert (rules.average_precision, rules.expected_cost) == (0.5, 1.0)
    assert regression.average_precision == 1.0
