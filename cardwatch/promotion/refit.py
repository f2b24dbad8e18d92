"""The promoted challenger, fitted again with the judged days.

A challenger is judged on days after its training, so it has not learnt from the newest of them: after a change, half of
what is known about it. A promoted challenger is therefore fitted again, with the same settings, on the training and the
judged days together (decision 24). What was judged is then how the settings do on days to come; the verdict is theirs.

The model fitted again has seen the judged rows, so it cannot be judged on them. But each card of them is also scored by
trees and a calibration that were fitted without the card (`models.cross_fitting`), on the same days. If even these
decisions cost more than those of the judged model, beyond a margin, then something is wrong with the newest days, and
the judged model is registered.
"""

from __future__ import annotations

import math

from msgspec import structs

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.promotion.evidence import Evidence, JudgedModel
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.verdict import RefitResult, VerdictReport


def with_refit(
    report: VerdictReport, evidence: Evidence, *, decision: DecisionPolicy, promotion: PromotionPolicy
) -> VerdictReport:
    """Return the report with the comparison of `evidence.refit` and a sentence about it; unchanged without one."""
    if evidence.refit is None:
        return report
    result = compare_refit(evidence, evidence.refit, decision=decision, promotion=promotion)
    verdict = structs.replace(
        report.verdict, reasons=[*report.verdict.reasons, _sentence(result, promotion.refit_margin)]
    )
    return structs.replace(report, verdict=verdict, refit=result)


def compare_refit(
    evidence: Evidence, refit: JudgedModel, *, decision: DecisionPolicy, promotion: PromotionPolicy
) -> RefitResult:
    """Compare what the challenger and `refit` cost on the judged rows. The order of the rows has no influence."""
    judged_cost, cost = (
        math.fsum(evidence.costs_minor(decision, model.actions) * evidence.weight)
        for model in (evidence.challenger, refit)
    )
    return RefitResult(
        judged_cost_minor=judged_cost,
        cost_minor=cost,
        passed=cost <= (1.0 + promotion.refit_margin) * judged_cost,
    )


def _sentence(result: RefitResult, margin: float) -> str:
    compared = (
        f"noted: fitted again with the judged days, the model costs {result.cost_minor:,.0f} there on cards that it "
        f"has not seen, the judged one {result.judged_cost_minor:,.0f} (minor units)"
    )
    if result.passed:
        return f"{compared}: the one that was fitted again is registered"
    return f"{compared}, which is more than {1.0 + margin:.2f} times as much: the judged one is registered"
