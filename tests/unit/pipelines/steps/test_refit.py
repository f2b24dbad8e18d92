"""The step that fits a promoted challenger again: on which rows, with which settings, and what is recorded."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from adapters.model_registry.verdict_bundle import check_bundle
from adapters.runtime.policy_file import Policies
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.split import TemporalSplit
from cardwatch.training_policy import TrainingPolicy
from models.training import TrainingSettings
from pipelines.steps.comparison import Comparison, ScoredCandidate, compare_champion_challenger
from pipelines.steps.fitting import CandidateModel, RecentRows, fit_candidate
from pipelines.steps.refit import RefitRows, refit_promoted
from pipelines.steps.registration import TrainingOrigin, version_tags
from pipelines.steps.training_set import TrainingSet
from tests.promotion_policies import ANY_CHALLENGER_WINS
from tests.unit.pipelines.steps.test_comparison import FIRST, INPUTS, SPLIT, FormerChampion

SETTINGS = TrainingSettings(trees=5, depth=2)
DAYS = 4
CARDS = 120


def rows() -> TrainingSet:
    """Every card pays once on each of four days. A quarter of the payments are frauds, and they have high amounts."""
    random = np.random.default_rng(3)
    count = DAYS * CARDS
    is_fraud = random.random(count) < 0.25
    features = np.full((count, len(FEATURE_NAMES)), np.nan, np.float32)
    features[:, FEATURE_NAMES.index("amount")] = np.where(is_fraud, 250.0, 20.0)
    day = np.repeat(np.arange(DAYS), CARDS)
    occurred_at_ms = int(FIRST.timestamp() * 1e3) + day.astype(np.int64) * 86_400_000
    return TrainingSet(
        features=features,
        is_fraud=is_fraud,
        weight=np.ones(count, np.float32),
        declined_by_rules=np.zeros(count, np.bool_),
        amount_minor=np.full(count, 25_000, np.int64),
        policy_amount_minor=np.full(count, 25_000.0),
        overlay=np.zeros(count, np.int8),
        occurred_at_ms=occurred_at_ms,
        card_ids=np.array([f"card-{number % CARDS}" for number in range(count)], np.object_),
        transaction_ids=np.array([f"t-{number}" for number in range(count)], np.object_),
        fingerprint="",
        label_coverage=LabelCoverage(),
    )


SPLIT_IN_HALF = TemporalSplit(
    train_from=SPLIT.train_from, evaluate_from=SPLIT.train_from.replace(day=8), evaluate_until=SPLIT.evaluate_until
)


class Trained:
    """A challenger of the first two days that was judged on the last two, and what it is fitted again with."""

    def __init__(self, folder: Path, training: TrainingSet, policies: Policies) -> None:
        recent = RecentRows(features=training.features, days=training.days)
        first = training.between(SPLIT_IN_HALF.train_from, SPLIT_IN_HALF.evaluate_from)
        self.policies, self.folder = policies, folder
        self.candidate = fit_candidate(first, recent, folder / "challenger", SETTINGS, policies.training)
        scored = ScoredCandidate(self.candidate.detector, self.candidate.digest)
        self.compared = compare_champion_challenger(FormerChampion(), scored, training, SPLIT_IN_HALF, policies, INPUTS)
        self.data = RefitRows(training, SPLIT_IN_HALF, recent, None, None)

    def again(self) -> tuple[CandidateModel | None, Comparison]:
        facts = self.candidate.detector.facts
        return refit_promoted(facts, self.compared, self.data, self.folder / "refit", self.policies)


POLICIES = structs.replace(Policies(), promotion=ANY_CHALLENGER_WINS, training=TrainingPolicy(calibration_folds=3))


def test_a_promoted_challenger_is_fitted_again_on_both_windows_with_its_settings(tmp_path: Path) -> None:
    trained = Trained(tmp_path, rows(), POLICIES)
    refit, compared = trained.again()

    assert refit is not None
    assert trained.candidate.detector.facts.rows == 2 * CARDS
    assert refit.detector.facts.rows == DAYS * CARDS
    assert refit.detector.facts.settings == trained.candidate.detector.facts.settings
    assert compared.population.rows == DAYS * CARDS
    assert compared.verdict.promoted
    assert compared.bundle.report.rows == 2 * CARDS  # the last two days


def test_the_record_names_both_models_and_can_be_checked(tmp_path: Path) -> None:
    trained = Trained(tmp_path, rows(), POLICIES)
    refit, compared = trained.again()
    assert refit is not None
    origin = TrainingOrigin(because=[], flow_run="", policies=POLICIES)
    tags = version_tags(compared, origin, verdict_digest="")

    assert compared.bundle.inputs.refit_digest == refit.digest != trained.candidate.digest
    assert tags["judged_digest"] == trained.candidate.digest
    assert (tags["trained_until"], tags["judged_until"]) == (str(SPLIT.evaluate_until), str(SPLIT.evaluate_until))
    assert check_bundle(compared.bundle.files()) == []


def test_rows_of_the_older_days_count_less_with_a_half_life(tmp_path: Path) -> None:
    """High amounts are fraud on the judged days only: with equal weights they are so half of the time."""
    trained = Trained(tmp_path, rows(), POLICIES)
    clean = trained.data.rows
    is_old = np.arange(DAYS * CARDS) < 2 * CARDS
    changed = structs.replace(clean, is_fraud=clean.is_fraud & ~is_old)
    high = np.flatnonzero(clean.is_fraud)[-1:]

    def probability(half_life_days: float | None) -> float:
        trained.data = trained.data._replace(rows=changed, half_life_days=half_life_days)
        refit, _ = trained.again()
        assert refit is not None
        return float(refit.detector.probabilities(refit.detector.margins(clean.features[high]))[0])

    # With a half-life of half a day, four days weigh 1/64, 1/16, 1/4 and 1: 0.94 of the weight is that of the last two.
    assert probability(None) == pytest.approx(0.5, abs=0.1)
    assert probability(0.5) == pytest.approx(0.94, abs=0.05)


def test_rows_without_a_rate_are_in_neither_comparison(tmp_path: Path) -> None:
    training = rows()
    training.policy_amount_minor[-10:] = np.nan
    _, compared = Trained(tmp_path, training, POLICIES).again()
    held_out = compared.bundle.evidence.refit

    assert held_out is not None
    assert len(held_out.margins) == compared.bundle.report.rows == 2 * CARDS - 10
    assert check_bundle(compared.bundle.files()) == []


def test_it_is_compared_by_trees_that_have_not_seen_the_card(tmp_path: Path) -> None:
    trained = Trained(tmp_path, rows(), POLICIES)
    refit, compared = trained.again()
    held_out = compared.bundle.evidence.refit
    assert refit is not None
    assert held_out is not None
    assert np.array_equal(held_out.margins, refit.held_out_margins[2 * CARDS :])
    assert not np.array_equal(held_out.margins, refit.detector.margins(trained.data.rows.features[2 * CARDS :]))


def test_newest_days_that_make_the_model_worse_leave_the_judged_one_in_place(tmp_path: Path) -> None:
    trained = Trained(tmp_path, rows(), POLICIES)
    clean = trained.data.rows
    is_judged = np.arange(DAYS * CARDS) >= 2 * CARDS
    trained.data = trained.data._replace(rows=structs.replace(clean, is_fraud=clean.is_fraud ^ is_judged))
    refit, compared = trained.again()

    assert refit is None
    result = compared.bundle.report.refit
    assert result is not None
    assert result.cost_minor > result.judged_cost_minor == 0.0  # high amounts are fraud on two days, and genuine on two
    assert compared.bundle.inputs.refit_digest is None
    assert compared.bundle.inputs.trained_until == SPLIT_IN_HALF.evaluate_from
    assert compared.population == trained.compared.population
    assert compared.verdict.promoted


@pytest.mark.parametrize(
    "promotion",
    [structs.replace(ANY_CHALLENGER_WINS, minimum_rows=10**6), structs.replace(ANY_CHALLENGER_WINS, refit=False)],
    ids=["refused", "switched off"],
)
def test_a_refused_challenger_and_one_of_another_policy_stay_as_they_were_judged(
    tmp_path: Path, promotion: object
) -> None:
    trained = Trained(tmp_path, rows(), structs.replace(POLICIES, promotion=promotion))
    refit, compared = trained.again()
    assert refit is None
    assert compared is trained.compared
    assert not (tmp_path / "refit").exists()


def test_the_registered_files_are_those_of_the_model_fitted_again(tmp_path: Path) -> None:
    refit, _ = Trained(tmp_path, rows(), POLICIES).again()
    assert refit is not None
    files = {path.name: path.read_bytes() for path in refit.folder.iterdir()}
    probe = rows().features[:10]
    assert np.array_equal(Detector.from_files(files).margins(probe), refit.detector.margins(probe))
