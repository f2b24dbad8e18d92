"""Comparison of champion and challenger on the same rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.model_registry.verdict_bundle import VerdictBundle
from adapters.runtime.policy_file import Policies
from cardwatch import __version__
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, channels_of
from cardwatch.decision.policy_actions import actions_by_model, actions_by_rules
from cardwatch.detector.detector import Detector
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.events import Action
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_states import LabelCoverage, is_measurable
from cardwatch.promotion.evidence import (
    APPROVE,
    AssembledInputs,
    Evidence,
    JudgedCoverage,
    JudgedInputs,
    JudgedModel,
)
from cardwatch.promotion.gate import judge
from cardwatch.promotion.slices import slices_of
from cardwatch.promotion.split import NotEnoughHistory, TemporalSplit
from cardwatch.promotion.verdict import Verdict
from cardwatch.registry import CHAMPION, ModelRegistry
from models.baselines import baseline_scores
from models.evaluation import Evaluation, evaluate
from models.model_card.subject import TrainingPopulation
from models.selection_estimates import count_missed_frauds, measurable_performance
from pipelines.steps.scoring_time import measure_scoring_time
from pipelines.steps.training_set import TrainingSet

TRAINED_UNTIL: Final = "trained_until"
"""Tag of a model version: the first day after its training window."""

log = logging.getLogger(__name__)


class Comparison(Struct, frozen=True, kw_only=True):
    """Verdict of the gate and the evaluations of both models on the rows of [evaluated_from, evaluated_until).

    `champion` and `champion_version` are None if there was no champion of this version's feature schema. `baselines`
    are the evaluations of `models.baselines` by name. `label_coverage` counts the transactions of the whole training
    set, also those without an outcome; `measurable` is the part of the challenger's performance that monitoring can
    measure once it decides, `missed` counts the frauds that it approves. `population` describes the rows that the
    challenger was trained on. `bundle` is everything that the verdict rests on.
    """

    verdict: Verdict
    challenger: Evaluation
    champion: Evaluation | None
    champion_version: str | None
    baselines: dict[str, Evaluation]
    evaluated_from: date
    evaluated_until: date
    label_coverage: LabelCoverage
    measurable: MeasuredPerformance | None
    missed: MissedFrauds | None
    population: TrainingPopulation
    bundle: VerdictBundle


class ScoredCandidate(NamedTuple):
    """The challenger: its detector and the digest of its files."""

    detector: Detector
    digest: str


class _JudgedBaseline(NamedTuple):
    """Scores of a baseline, float64 [n], higher is riskier, and its actions as places in `ACTIONS`, int8 [n]."""

    scores: NDArray[np.float64]
    actions: NDArray[np.int8]


class _Champion(NamedTuple):
    """The registered champion, if it can score the rows. `trained` says in words on which days it was trained."""

    detector: Detector | None
    version: str | None
    digest: str | None
    trained_until: date
    trained: str


def compare_champion_challenger(
    registry: ModelRegistry,
    challenger: ScoredCandidate,
    rows: TrainingSet,
    split: TemporalSplit,
    policies: Policies,
    inputs: AssembledInputs,
) -> Comparison:
    """Evaluate the registered champion and `challenger`, and apply the promotion gate.

    Only days of the evaluation window on which neither model was trained are used; the verdict's first reason names
    them. A champion of another feature schema cannot score these rows, so the challenger is judged like a first model.
    The baselines of `models.baselines` are trained on the same rows as the challenger. All of them decide as the stream
    worker does with `policies.decision`, under which `rows` must have been assembled. Rows in a currency without a rate
    are not judged, because the degraded rules decide them, whatever the model.

    Raises `CorruptModel` if the champion's files do not have the registered digest, and `NotEnoughHistory` if the
    champion was trained on all days of the window.
    """
    champion = _registered_champion(registry)
    start = max(split.evaluate_from, champion.trained_until)
    unpriced, unseen = without_rate(rows.between(start, split.evaluate_until))
    if not len(unseen.days):
        raise NotEnoughHistory(
            f"there is no row to judge on from {start} to before {split.evaluate_until}: {champion.trained}. "
            "Retrain when more days are mature"
        )
    training = rows.between(split.train_from, split.evaluate_from)
    baselines = _judge_baselines(training, unseen, policies.decision)
    evidence = _evidence(challenger.detector, champion.detector, unseen, policies.decision, baselines)
    judged_inputs = _judged_inputs(challenger, champion, unseen, unpriced, split, start, inputs)
    report = judge(evidence, judged_inputs, decision=policies.decision, promotion=policies.promotion)
    for reason in report.verdict.reasons:
        log.info("%s", reason)
    return Comparison(
        verdict=report.verdict,
        challenger=_evaluate_model(evidence.challenger, evidence, unseen, policies.decision),
        champion=(
            _evaluate_model(evidence.champion, evidence, unseen, policies.decision) if evidence.champion else None
        ),
        champion_version=champion.version,
        baselines={
            name: _evaluate(baseline.scores, baseline.actions, evidence, unseen, policies.decision)
            for name, baseline in baselines.items()
        },
        evaluated_from=start,
        evaluated_until=split.evaluate_until,
        label_coverage=rows.label_coverage,
        measurable=_measurable(evidence.challenger, unseen, policies.decision),
        missed=count_missed_frauds(
            evidence.challenger.actions == ACTIONS.index(Action.APPROVE),
            unseen.is_fraud,
            unseen.weight,
            transactions=judged_inputs.label_coverage.transactions - unpriced,
        ),
        population=population_of(training),
        bundle=VerdictBundle(
            evidence=evidence,
            inputs=judged_inputs,
            decision=policies.decision,
            promotion=policies.promotion,
            report=report,
        ),
    )


def population_of(training: TrainingSet) -> TrainingPopulation:
    """Describe the rows that a model was trained on."""
    return TrainingPopulation.of(training.features, training.is_fraud, training.card_ids.astype(str), training.days)


def without_rate(rows: TrainingSet) -> tuple[int, TrainingSet]:
    """Return the number of rows for whose currency the policy has no rate, and the other rows, which are judged."""
    has_rate = ~np.isnan(rows.policy_amount_minor)
    return int((~has_rate).sum()), rows.at(has_rate)


def _registered_champion(registry: ModelRegistry) -> _Champion:
    registered = registry.alias(CHAMPION)
    if registered is None:
        return _Champion(None, None, None, date.min, "there is no champion to compare with")
    if registered.schema_hash not in ("", SCHEMA_HASH):
        other = f"the champion (version {registered.version}) needs other features and cannot be compared"
        return _Champion(None, None, None, date.min, other)
    until = date.fromisoformat(registered.tags[TRAINED_UNTIL])
    return _Champion(
        detector=Detector.from_files(registry.files(registered)),
        version=registered.version,
        digest=registered.digest,
        trained_until=until,
        trained=f"the champion (version {registered.version}) on days before {until}",
    )


def _evidence(
    challenger: Detector,
    champion: Detector | None,
    rows: TrainingSet,
    policy: DecisionPolicy,
    baselines: Mapping[str, _JudgedBaseline],
) -> Evidence:
    _, cards = np.unique(rows.card_ids.astype(str), return_inverse=True)
    return Evidence(
        days=rows.days,
        cards=cards.astype(np.int64),
        amount_minor=rows.policy_amount_minor,
        channels=channels_of(rows.features),
        is_fraud=rows.is_fraud,
        weight=rows.weight.astype(np.float64),
        challenger=_judged_model(challenger, rows, policy),
        champion=_judged_model(champion, rows, policy) if champion else None,
        baselines={name: baseline.actions for name, baseline in baselines.items()},
        slices=slices_of(rows.features),
        overlay=rows.overlay if policy.rules else None,
    )


def _judge_baselines(training: TrainingSet, rows: TrainingSet, policy: DecisionPolicy) -> dict[str, _JudgedBaseline]:
    found = baseline_scores(training.features, training.is_fraud, rows.features, policy, training.weight)
    return {
        name: _JudgedBaseline(
            scores=baseline.scores,
            actions=actions_by_rules(policy, rows.features, rows.overlay)
            if baseline.probabilities is None
            else _actions(baseline.probabilities, rows, policy),
        )
        for name, baseline in found.items()
    }


def _measurable(model: JudgedModel, rows: TrainingSet, policy: DecisionPolicy) -> MeasuredPerformance | None:
    would_decline = model.actions == ACTIONS.index(Action.DECLINE)
    by_rules = rows.declined_by_rules | (would_decline & (rows.overlay != APPROVE))
    is_measured = is_measurable(would_decline, rows.policy_amount_minor, policy.control.largest_minor, by_rules)
    return measurable_performance(model.margins, rows.is_fraud, rows.weight, is_measured)


def _judged_model(detector: Detector, rows: TrainingSet, policy: DecisionPolicy) -> JudgedModel:
    margins = detector.margins(rows.features)
    return judged_model(margins, detector.probabilities(margins), rows, policy)


def judged_model(
    margins: NDArray[np.float32], probabilities: NDArray[np.float64], rows: TrainingSet, policy: DecisionPolicy
) -> JudgedModel:
    """Return the scores of a model on these rows with what the policy decides by them."""
    return JudgedModel(margins=margins, probabilities=probabilities, actions=_actions(probabilities, rows, policy))


def _actions(probabilities: NDArray[np.float64], rows: TrainingSet, policy: DecisionPolicy) -> NDArray[np.int8]:
    channels = channels_of(rows.features)
    return actions_by_model(policy, probabilities, rows.policy_amount_minor, channels, rows.overlay)


def _judged_inputs(
    challenger: ScoredCandidate,
    champion: _Champion,
    rows: TrainingSet,
    unpriced: int,
    split: TemporalSplit,
    start: date,
    inputs: AssembledInputs,
) -> JudgedInputs:
    transactions = sum(count for day, count in inputs.transactions.items() if start <= day < split.evaluate_until)
    return JudgedInputs(
        as_of=inputs.as_of,
        trained_from=split.train_from,
        evaluated_from=split.evaluate_from,
        judged_from=start,
        judged_until=split.evaluate_until,
        excluded_days=inputs.excluded_days,
        trained=champion.trained,
        fingerprint=rows.fingerprint,
        challenger_digest=challenger.digest,
        champion_version=champion.version,
        champion_digest=champion.digest,
        schema_hash=SCHEMA_HASH,
        log_ends=inputs.log_ends,
        label_ends=inputs.label_ends,
        label_coverage=JudgedCoverage(
            transactions=transactions, judged=len(rows.days), frauds=int(rows.is_fraud.sum()), unpriced=unpriced
        ),
        feature_parity=inputs.feature_parity,
        scoring_time=measure_scoring_time(challenger.detector, champion.detector, rows.features),
        code_version=__version__,
        numpy_version=np.__version__,
    )


def _evaluate(
    scores: NDArray[np.floating[Any]],
    actions: NDArray[np.int8],
    evidence: Evidence,
    rows: TrainingSet,
    policy: DecisionPolicy,
) -> Evaluation:
    """Evaluate scores without weights; the cost is that of the same decisions as in the verdict."""
    approval = float(evidence.costs_minor(policy, np.full(len(rows.days), APPROVE, np.int8)).sum())
    found = evaluate(
        scores,
        rows.is_fraud,
        amount_minor=rows.amount_minor,
        card_ids=rows.card_ids.astype(str),
        days=rows.days,
    )
    cost = float(evidence.costs_minor(policy, actions).sum())
    return structs.replace(found, expected_cost=cost / approval if approval else None)


def _evaluate_model(model: JudgedModel, evidence: Evidence, rows: TrainingSet, policy: DecisionPolicy) -> Evaluation:
    return _evaluate(model.margins, model.actions, evidence, rows, policy)
