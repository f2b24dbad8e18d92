"""Promotion gate: whether a challenger replaces the champion, a pure function of the judged rows and the policy.

The days of the rows are those of `cardwatch.promotion.split`. The main test is that of
`cardwatch.promotion.paired_bootstrap`: the challenger must save part of the champion's cost, beyond reasonable doubt.
The other checks refuse a challenger that saves for a wrong reason, or at the expense of others. docs/verdict.md
explains each of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.promotion.card_sums import sums_by_card
from cardwatch.promotion.evidence import APPROVE, Evidence, JudgedInputs, JudgedModel
from cardwatch.promotion.paired_bootstrap import RESAMPLES, RESAMPLES_OF_A_SLICE, bound_saving
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.refit import with_refit
from cardwatch.promotion.requirements import all_requirements
from cardwatch.promotion.score_quality import ScoreQuality, measure_quality
from cardwatch.promotion.slices import UNKNOWN
from cardwatch.promotion.verdict import BaselineResult, SliceResult, Verdict, VerdictReport

SEED: Final = 0
"""Seed of the resamples. It is fixed, so that nobody can try seeds until one promotes."""


def judge(
    evidence: Evidence,
    inputs: JudgedInputs,
    *,
    decision: DecisionPolicy,
    promotion: PromotionPolicy,
    resamples: int = RESAMPLES,
) -> VerdictReport:
    """Judge the challenger on these rows. The result depends on neither the order of the rows nor the cards' names.

    Raises `ValueError` if there are no rows.
    """
    if not len(evidence.days):
        raise ValueError("there are no rows to judge on")
    evidence = evidence.in_canonical_order()
    approval = _weighted_costs(evidence, decision, np.full(len(evidence.days), APPROVE, np.int8))
    cost = _weighted_costs(evidence, decision, evidence.challenger.actions)
    report = VerdictReport(
        verdict=Verdict(promoted=False, reasons=[]),
        rows=len(evidence.days),
        frauds=int(evidence.is_fraud.sum()),
        days=len(np.unique(evidence.days)),
        excluded_days=inputs.excluded_judged_days,
        cards=len(np.unique(evidence.cards)),
        challenger=_quality(evidence, evidence.challenger, decision, cost, approval),
        champion=None,
        saving=None,
        slices=[],
        baselines=_baselines(evidence, decision, cost, promotion, min(resamples, RESAMPLES_OF_A_SLICE)),
    )
    if evidence.champion is not None:
        champion_cost = _weighted_costs(evidence, decision, evidence.champion.actions)
        sums = sums_by_card(evidence.cards, champion_cost - cost, champion_cost)
        report = structs.replace(
            report,
            champion=_quality(evidence, evidence.champion, decision, champion_cost, approval),
            saving=bound_saving(sums, error_rate=promotion.error_rate_per_trial, resamples=resamples, seed=SEED),
            slices=_slices(evidence, champion_cost, cost, approval, promotion, min(resamples, RESAMPLES_OF_A_SLICE)),
        )
    checks = all_requirements(report, inputs, promotion)
    verdict = Verdict(
        promoted=all(check.passed is not False for check in checks),
        reasons=[_judged_days(inputs), *(check.reason for check in checks)],
    )
    judged = structs.replace(report, verdict=verdict)
    return with_refit(judged, evidence, decision=decision, promotion=promotion)


def _judged_days(inputs: JudgedInputs) -> str:
    last = inputs.judged_until - timedelta(days=1)
    return (
        f"judged on days {inputs.judged_from} to {last}; the challenger was trained on days before "
        f"{inputs.evaluated_from}, {inputs.trained}"
    )


def _weighted_costs(evidence: Evidence, decision: DecisionPolicy, actions: NDArray[np.int8]) -> NDArray[np.float64]:
    return evidence.costs_minor(decision, actions) * evidence.weight


def _quality(
    evidence: Evidence,
    model: JudgedModel,
    decision: DecisionPolicy,
    cost: NDArray[np.float64],
    approval: NDArray[np.float64],
) -> ScoreQuality:
    return measure_quality(
        margins=model.margins,
        probabilities=model.probabilities,
        alert_share=evidence.alert_shares(decision, model.actions),
        cost_minor=cost,
        approval_cost_minor=approval,
        is_fraud=evidence.is_fraud,
        weight=evidence.weight,
    )


def _baselines(
    evidence: Evidence,
    decision: DecisionPolicy,
    cost: NDArray[np.float64],
    promotion: PromotionPolicy,
    resamples: int,
) -> dict[str, BaselineResult]:
    """Compare with every baseline. The upper bound of the saving is the lower bound of the loss."""
    results = {}
    for name, actions in sorted(evidence.baselines.items()):
        of_baseline = _weighted_costs(evidence, decision, actions)
        sums = sums_by_card(evidence.cards, cost - of_baseline, of_baseline)
        total = float(sums.base.sum())
        loss = bound_saving(sums, error_rate=promotion.baseline_error_rate, resamples=resamples, seed=SEED)
        results[name] = BaselineResult(
            cost_minor=total,
            saving=0.0 - loss.saving if total > 0 else None,
            saving_at_most=None if loss.lower_bound is None else 0.0 - loss.lower_bound,
        )
    return results


def _slices(
    evidence: Evidence,
    champion_cost: NDArray[np.float64],
    cost: NDArray[np.float64],
    approval: NDArray[np.float64],
    promotion: PromotionPolicy,
    resamples: int,
) -> list[SliceResult]:
    """Judge every slice by itself. Its margin is a share of the fraud in it, which does not depend on the champion."""
    results = []
    for division, names in sorted(evidence.slices.items()):
        for name in sorted(set(names.tolist()) - {UNKNOWN}):
            rows = names == name
            frauds = int(evidence.is_fraud[rows].sum())
            sums = sums_by_card(evidence.cards[rows], (champion_cost - cost)[rows], approval[rows])
            bound = bound_saving(sums, error_rate=promotion.slice_error_rate, resamples=resamples, seed=SEED)
            at_stake, of_champion, of_challenger = (
                float(sums_by_card(evidence.cards[rows], values[rows], values[rows]).saved.sum())
                for values in (approval, champion_cost, cost)
            )
            results.append(
                SliceResult(
                    division=division,
                    name=name,
                    rows=int(rows.sum()),
                    frauds=frauds,
                    champion_cost=of_champion / at_stake if at_stake else None,
                    challenger_cost=of_challenger / at_stake if at_stake else None,
                    increase=0.0 - bound.saving,
                    increase_at_most=None if bound.lower_bound is None else 0.0 - bound.lower_bound,
                    required=frauds >= promotion.slice_minimum_frauds,
                    passed=bound.lower_bound is not None and bound.lower_bound >= -promotion.slice_margin,
                )
            )
    return results
