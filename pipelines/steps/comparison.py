"""Comparison of champion and challenger on the same rows."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from math import nan
from typing import Final

import numpy as np
from msgspec import Struct, field

from adapters.runtime.policy_file import Policies
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.detector.detector import Detector
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.events import Action
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_states import LabelCoverage, is_measurable
from cardwatch.promotion.gate import Performance, Verdict, apply_gate
from cardwatch.promotion.split import TemporalSplit
from cardwatch.registry import CHAMPION, ModelRegistry
from models.baselines import baseline_scores
from models.evaluation import Evaluation, evaluate
from models.selection_estimates import measurable_performance
from pipelines.steps.training_set import TrainingSet

TRAINED_UNTIL: Final = "trained_until"
"""Tag of a model version: the first day after its training window."""

log = logging.getLogger(__name__)


class Comparison(Struct, frozen=True, kw_only=True):
    """Verdict of the gate and the evaluations of both models on the rows of [evaluated_from, evaluated_until).

    `champion` and `champion_version` are None if there was no champion of this version's feature schema. `baselines`
    are the evaluations of `models.baselines` by name. `label_coverage` counts the transactions of the whole training
    set, also those without an outcome; `measurable` is the part of the challenger's performance that monitoring can
    measure once it decides. The JSON form is stored as `verdict.json`.
    """

    verdict: Verdict
    challenger: Evaluation
    champion: Evaluation | None
    champion_version: str | None
    baselines: dict[str, Evaluation]
    evaluated_from: date = field(name="judge_from")
    evaluated_until: date = field(name="judge_until")
    label_coverage: LabelCoverage
    measurable: MeasuredPerformance | None


def compare_champion_challenger(
    registry: ModelRegistry, challenger: Detector, rows: TrainingSet, split: TemporalSplit, policies: Policies
) -> Comparison:
    """Evaluate the registered champion and `challenger`, and apply the retraining gate.

    Only days of the evaluation window on which neither model was trained are used; the verdict's first reason names
    them. A champion of another feature schema cannot score these rows, so the challenger is judged like a first model.
    Raises `CorruptModel` if the champion's files do not have the registered digest.
    """
    registered, champion = registry.alias(CHAMPION), None
    start, trained = split.evaluate_from, "there is no champion to compare with"
    if registered is not None and registered.schema_hash not in ("", SCHEMA_HASH):
        trained = f"the champion (version {registered.version}) needs other features and cannot be compared"
    elif registered is not None:
        champion = Detector.from_files(registry.files(registered))
        champion_until = date.fromisoformat(registered.tags[TRAINED_UNTIL])
        start = max(start, champion_until)
        trained = f"the champion (version {registered.version}) on days before {champion_until}"
    unseen = rows.between(start, split.evaluate_until)
    performance, evaluation = _evaluate(challenger, unseen, policies)
    champion_performance, champion_evaluation = _evaluate(champion, unseen, policies) if champion else (None, None)
    verdict = apply_gate(champion_performance, performance, policies.promotion)
    days = f"judged on days {start} to {split.evaluate_until - timedelta(days=1)}"
    reasons = [f"{days}; the challenger was trained on days before {split.evaluate_from}, {trained}", *verdict.reasons]
    for reason in reasons:
        log.info("%s", reason)
    return Comparison(
        verdict=Verdict(promoted=verdict.promoted, reasons=reasons),
        challenger=evaluation,
        champion=champion_evaluation,
        champion_version=registered.version if registered and champion else None,
        baselines=_evaluate_baselines(rows.between(split.train_from, split.evaluate_from), unseen, policies),
        evaluated_from=start,
        evaluated_until=split.evaluate_until,
        label_coverage=rows.label_coverage,
        measurable=_measurable(challenger, unseen, policies.decision),
    )


def _evaluate(detector: Detector, rows: TrainingSet, policies: Policies) -> tuple[Performance, Evaluation]:
    margins = detector.margins(rows.features)
    probabilities = detector.probabilities(margins)
    evaluation = evaluate(
        margins,
        rows.is_fraud,
        amount_minor=rows.amount_minor,
        card_ids=rows.card_ids.astype(str),
        days=rows.days,
        probabilities=probabilities,
        channels=channels_of(rows.features),
        policy=policies.decision,
    )
    performance = Performance(
        rows=evaluation.rows,
        frauds=evaluation.frauds,
        average_precision=_or_nan(evaluation.average_precision),
        recall=_or_nan(evaluation.recall_at_fpr_0_1_percent),
        expected_cost=_or_nan(evaluation.expected_cost),
        expected_frauds=float(probabilities.sum()),
    )
    return performance, evaluation


def _evaluate_baselines(training: TrainingSet, unseen: TrainingSet, policies: Policies) -> dict[str, Evaluation]:
    policy = policies.decision
    found = baseline_scores(training.features, training.is_fraud, unseen.features, policy, training.weight)
    return {
        name: evaluate(
            baseline.scores,
            unseen.is_fraud,
            amount_minor=unseen.amount_minor,
            card_ids=unseen.card_ids.astype(str),
            days=unseen.days,
            probabilities=baseline.probabilities,
            channels=channels_of(unseen.features),
            actions=policy.decide_by_rules(unseen.features)[0] if baseline.probabilities is None else None,
            policy=policy,
        )
        for name, baseline in found.items()
    }


def _measurable(detector: Detector, rows: TrainingSet, policy: DecisionPolicy) -> MeasuredPerformance | None:
    margins = detector.margins(rows.features)
    amounts = rows.amount_minor.astype(np.float64)
    actions = policy.decide(detector.probabilities(margins), amounts, channels_of(rows.features))
    would_decline = np.array([action is Action.DECLINE for action in actions], np.bool_)
    is_measured = is_measurable(would_decline, rows.amount_minor, policy.control.largest_minor, rows.declined_by_rules)
    return measurable_performance(margins, rows.is_fraud, rows.weight, is_measured)


def _or_nan(value: float | None) -> float:
    return nan if value is None else value
