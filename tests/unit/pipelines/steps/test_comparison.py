"""The comparison of a challenger with a champion, and with one that needs features of a former schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from msgspec import structs

from adapters.model_registry.verdict_bundle import check_bundle
from adapters.runtime.policy_file import Policies
from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition
from cardwatch.detector.detector import FACTS_FILE, TREES_FILE
from cardwatch.events import Action, to_epoch_ms
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.evidence import AssembledInputs, FeatureParity, JudgedCoverage
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.split import NotEnoughHistory, TemporalSplit
from cardwatch.registry import ModelVersion
from cardwatch.warm_up import one_split_detector
from pipelines.steps.comparison import Comparison, ScoredCandidate, compare_champion_challenger
from pipelines.steps.training_set import TrainingSet
from tests.former_version import FORMER_SCHEMA
from tests.promotion_policies import ANY_CHALLENGER_WINS

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
        policy_amount_minor=np.full(8, 25_000.0),
        overlay=np.zeros(8, np.int8),
        occurred_at_ms=np.array(occurred_at_ms, np.int64),
        card_ids=np.array([f"card-{number}" for number in range(8)], np.object_),
        transaction_ids=np.array([f"t-{number}" for number in range(8)], np.object_),
        fingerprint="",
        label_coverage=LabelCoverage(known_fraud=4, presumed_genuine=4),
    )


INPUTS = AssembledInputs(
    as_of=(FIRST + timedelta(days=4)).date(),
    excluded_days=[],
    log_ends={0: 8},
    label_ends={0: 4},
    transactions={(FIRST + timedelta(days=number)).date(): 3 for number in range(4)},
    feature_parity=FeatureParity(rows=8, differing=0, features=[]),
)


class Champion(FormerChampion):
    """A registry with a champion that was trained on days before the second one."""

    def champion(self) -> ModelVersion:
        tags = {"schema_hash": SCHEMA_HASH, "trained_until": str((FIRST + timedelta(days=1)).date()), "digest": "d"}
        return ModelVersion(version="4", run_id="", tags=tags)

    def files(self, _version: ModelVersion, /) -> dict[str, bytes]:
        detector = one_split_detector()
        return {TREES_FILE: detector._trees.to_bytes(), FACTS_FILE: msgspec.json.encode(detector.facts)}


def compare(
    registry: FormerChampion, judged: TrainingSet, gate: PromotionPolicy, decision: DecisionPolicy | None = None
) -> Comparison:
    policies = structs.replace(Policies(), promotion=gate, decision=decision or DecisionPolicy())
    return compare_champion_challenger(
        registry, ScoredCandidate(one_split_detector(), "digest"), judged, SPLIT, policies, INPUTS
    )


def test_the_challenger_is_judged_like_a_first_model_and_the_verdict_says_why() -> None:
    compared = compare(FormerChampion(), rows(), ANY_CHALLENGER_WINS)
    assert compared.verdict.promoted, compared.verdict.reasons
    assert (compared.champion, compared.champion_version) == (None, None)
    assert compared.verdict.reasons[0].endswith("the champion (version 4) needs other features and cannot be compared")
    assert compared.challenger.average_precision == 1.0


def test_a_challenger_that_fails_the_gate_for_first_models_is_not_promoted() -> None:
    flawed = rows()
    flawed.features[:] = -flawed.features  # no amount is positive: the detector sees no fraud
    compared = compare(FormerChampion(), flawed, structs.replace(ANY_CHALLENGER_WINS, minimum_average_precision=0.9))
    assert not compared.verdict.promoted


def test_only_days_on_which_neither_model_was_trained_are_judged() -> None:
    # The champion was trained on the first of four days with two rows each, and with three transactions each.
    compared = compare(Champion(), rows(), ANY_CHALLENGER_WINS)
    inputs, evidence = compared.bundle.inputs, compared.bundle.evidence

    assert inputs.judged_from == (FIRST + timedelta(days=1)).date()
    assert len(evidence.days) == 6
    assert inputs.label_coverage == JudgedCoverage(transactions=9, judged=6, frauds=3)
    assert (inputs.champion_version, inputs.champion_digest, inputs.challenger_digest) == ("4", "d", "digest")
    assert compared.champion == compared.challenger


def test_without_a_day_that_the_champion_has_not_seen_nothing_can_be_judged() -> None:
    class TrainedOnAll(Champion):
        def champion(self) -> ModelVersion:
            return ModelVersion(version="4", run_id="", tags={**super().champion().tags, "trained_until": "2025-01-10"})

    with pytest.raises(NotEnoughHistory, match="no row to judge on from 2025-01-10 to before 2025-01-10: the champion"):
        compare(TrainedOnAll(), rows(), ANY_CHALLENGER_WINS)


def test_quarantined_days_of_the_window_are_stated_in_the_verdict() -> None:
    quarantined = (FIRST + timedelta(days=2)).date()
    inputs = structs.replace(INPUTS, excluded_days=[(FIRST - timedelta(days=9)).date(), quarantined])
    judged = rows()
    kept = judged.days != int(judged.days.min()) + 2
    columns = {name: value[kept] for name, value in structs.asdict(judged).items() if isinstance(value, np.ndarray)}
    compared = compare_champion_challenger(
        Champion(),
        ScoredCandidate(one_split_detector(), "digest"),
        structs.replace(judged, **columns),
        SPLIT,
        structs.replace(Policies(), promotion=ANY_CHALLENGER_WINS),
        inputs,
    )

    assert compared.bundle.report.excluded_days == [quarantined]
    assert check_bundle(compared.bundle.files()) == []
    assert f"judged on 2 days ({quarantined} left out as quarantined)" in compared.verdict.reasons[2 + 1]


def test_the_same_model_is_not_promoted_over_itself() -> None:
    gate = structs.replace(ANY_CHALLENGER_WINS, minimum_gain=0.0)
    compared = compare(Champion(), rows(), gate)

    assert not compared.verdict.promoted
    assert any("saves 0.0 % of the champion's cost" in reason for reason in compared.verdict.reasons)


@pytest.mark.rubric("model-5")
def test_the_baselines_are_trained_on_the_days_before_and_judged_on_the_same_rows() -> None:
    split = structs.replace(SPLIT, evaluate_from=(FIRST + timedelta(days=2)).date())
    policies = structs.replace(Policies(), promotion=ANY_CHALLENGER_WINS)
    compared = compare_champion_challenger(
        FormerChampion(), ScoredCandidate(one_split_detector(), "digest"), rows(), split, policies, INPUTS
    )
    assert set(compared.baselines) == set(compared.bundle.report.baselines) == {"rules", "logistic_regression"}
    assert {each.rows for each in compared.baselines.values()} == {compared.challenger.rows} == {4}
    rules, regression = compared.baselines["rules"], compared.baselines["logistic_regression"]
    # No rule fires: everything is approved. The regression has learned that a row with an amount is fraud.
    assert (rules.average_precision, rules.expected_cost) == (0.5, 1.0)
    assert regression.average_precision == 1.0


def test_the_bundle_of_a_comparison_holds() -> None:
    files = compare(Champion(), rows(), ANY_CHALLENGER_WINS).bundle.files()

    assert check_bundle(files) == []


def test_models_and_baselines_are_judged_with_the_rules_and_the_control_share_of_the_policy() -> None:
    # Of the seven judged rows the model declines three frauds of 250.00. A rule of the policy declines the last fraud
    # and the last genuine payment, which costs 500 and 5 % of 25,000. A quarter of the two other declines is approved.
    policy = DecisionPolicy(
        rules=(
            OverlayRule(
                reason="POLICY_DE", action=Action.DECLINE, when=(RuleCondition(name="country", one_of=("DE",)),)
            ),
        ),
        control=ControlShare(share=0.25, cap_minor=25_000),
    )
    judged = structs.replace(rows(), overlay=np.array([0] * 5 + [ACTIONS.index(Action.DECLINE)] * 2 + [0], np.int8))
    compared = compare(FormerChampion(), judged, ANY_CHALLENGER_WINS, policy)
    quality = compared.bundle.report.challenger

    assert quality.cost_minor == 2 * 0.25 * 25_000 + 500 + 0.05 * 25_000
    assert quality.alerts == 2 * 0.75 + 2
    assert compared.challenger.expected_cost == quality.cost_minor / (3 * 25_000)
    # The rules alone decline what the rule of the policy declines, and lose two frauds.
    assert compared.bundle.report.baselines["rules"].cost_minor == 2 * 25_000 + 500 + 0.05 * 25_000
    # What the rule declines is not measured in production. Control rows stand for the other declines.
    assert compared.measurable is not None and compared.measurable.frauds == 2
    assert check_bundle(compared.bundle.files()) == []


def test_amounts_are_judged_in_the_currency_of_the_policy_and_rows_without_a_rate_are_left_out() -> None:
    judged = rows()
    judged.policy_amount_minor[:2] = np.nan
    judged.policy_amount_minor[2:] = 10_000.0
    compared = compare(FormerChampion(), judged, ANY_CHALLENGER_WINS, DecisionPolicy(currency="EUR"))

    assert compared.bundle.inputs.label_coverage == JudgedCoverage(transactions=12, judged=5, frauds=2, unpriced=2)
    assert compared.bundle.report.baselines["rules"].cost_minor == 2 * 10_000
    noted = [reason for reason in compared.verdict.reasons if reason.startswith("noted")]
    assert noted[0] == "noted: 5 of the 12 transactions of these days have no known outcome and were not judged"
    assert noted[1].startswith("noted: 2 transactions of these days are in a currency for which the policy has no rate")
