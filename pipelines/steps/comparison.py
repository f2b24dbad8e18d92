"""Comparison of champion and challenger on the same rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from adapters.model_registry.verdict_bundle import VerdictBundle
from adapters.runtime.policy_file import Policies
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, channels_of
from cardwatch.detector.detector import Detector
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.events import Action
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_states import LabelCoverage, is_measurable
from cardwatch.promotion.evidence import (
    AssembledInputs,
    Evidence,
    JudgedCoverage,
    JudgedInputs,
    JudgedModel,
    places_of,
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
    """Scores of a baseline, float64 [n], higher is riskier, and its actions."""

    scores: NDArray[np.float64]
    actions: list[Action]


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
    The baselines of `models.baselines` are trained on the same rows as the challenger.

    Raises `CorruptModel` if the champion's files do not have the registered digest, and `NotEnoughHistory` if the
    champion was trained on all days of the window.
    """
    champion = _registered_champion(registry)
    start = max(split.evaluate_from, champion.trained_until)
    unseen = rows.between(start, split.evaluate_until)
    if not len(unseen.days):
        raise NotEnoughHistory(
            f"there is no row to judge on from {start} to before {split.evaluate_until}: {champion.trained}. "
            "Retrain when more days are mature"
        )
    training = rows.between(split.train_from, split.evaluate_from)
    baselines = _judge_baselines(training, unseen, policies.decision)
    evidence = _evidence(challenger.detector, champion.detector, unseen, policies.decision, baselines)
    judged_inputs = _judged_inputs(challenger, champion, unseen, split, start, inputs)
    report = judge(evidence, judged_inputs, decision=policies.decision, promotion=policies.promotion)
    for reason in report.verdict.reasons:
        log.info("%s", reason)
    return Comparison(
        verdict=report.verdict,
        challenger=_evaluate_model(evidence.challenger, unseen, policies.decision),
        champion=_evaluate_model(evidence.champion, unseen, policies.decision) if evidence.champion else None,
        champion_version=champion.version,
        baselines={
            name: _evaluate(baseline.scores, baseline.actions, unseen, policies.decision)
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
            transactions=judged_inputs.label_coverage.transactions,
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
        amount_minor=rows.amount_minor,
        channels=channels_of(rows.features),
        is_fraud=rows.is_fraud,
        weight=rows.weight.astype(np.float64),
        challenger=_judged_model(challenger, rows, policy),
        champion=_judged_model(champion, rows, policy) if champion else None,
        baselines={name: places_of(baseline.actions) for name, baseline in baselines.items()},
        slices=slices_of(rows.features),
    )


def _judge_baselines(training: TrainingSet, rows: TrainingSet, policy: DecisionPolicy) -> dict[str, _JudgedBaseline]:
    found = baseline_scores(training.features, training.is_fraud, rows.features, policy, training.weight)
    amounts = rows.amount_minor.astype(np.float64)
    return {
        name: _JudgedBaseline(
            scores=baseline.scores,
            actions=policy.decide_by_rules(rows.features)[0]
            if baseline.probabilities is None
            else policy.decide(baseline.probabilities, amounts, channels_of(rows.features)),
        )
        for name, baseline in found.items()
    }


def _measurable(model: JudgedModel, rows: TrainingSet, policy: DecisionPolicy) -> MeasuredPerformance | None:
    would_decline = model.actions == ACTIONS.index(Action.DECLINE)
    is_measured = is_measurable(would_decline, rows.amount_minor, policy.control.largest_minor, rows.declined_by_rules)
    return measurable_performance(model.margins, rows.is_fraud, rows.weight, is_measured)


def _judged_model(detector: Detector, rows: TrainingSet, policy: DecisionPolicy) -> JudgedModel:
    margins = detector.margins(rows.features)
    return judged_model(margins, detector.probabilities(margins), rows, policy)


def judged_model(
    margins: NDArray[np.float32], probabilities: NDArray[np.float64], rows: TrainingSet, policy: DecisionPolicy
) -> JudgedModel:
    """Return the scores of a model on these rows with what the policy decides by them."""
    decided = policy.decide(probabilities, rows.amount_minor.astype(np.float64), channels_of(rows.features))
    return JudgedModel(margins=margins, probabilities=probabilities, actions=places_of(decided))


def _judged_inputs(
    challenger: ScoredCandidate,
    champion: _Champion,
    rows: TrainingSet,
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
            transactions=transactions, judged=len(rows.days), frauds=int(rows.is_fraud.sum())
        ),
        feature_parity=inputs.feature_parity,
        scoring_time=measure_scoring_time(challenger.detector, champion.detector, rows.features),
        code_version=version("cardwatch"),
        numpy_version=np.__version__,
    )


def _evaluate(
    scores: NDArray[np.floating[Any]], actions: Sequence[Action], rows: TrainingSet, policy: DecisionPolicy
) -> Evaluation:
    return evaluate(
        scores,
        rows.is_fraud,
        amount_minor=rows.amount_minor,
        card_ids=rows.card_ids.astype(str),
        days=rows.days,
        channels=channels_of(rows.features),
        actions=actions,
        policy=policy,
    )


def _evaluate_model(model: JudgedModel, rows: TrainingSet, policy: DecisionPolicy) -> Evaluation:
    return _evaluate(model.margins, [ACTIONS[place] for place in model.actions.tolist()], rows, policy)
