"""The promoted challenger is fitted again with the judged days; `cardwatch.promotion.refit` says why."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import structs

from adapters.runtime.policy_file import Policies
from cardwatch.data_contract.contract import DataContract
from cardwatch.detector.detector import DetectorFacts
from cardwatch.events import EPOCH
from cardwatch.promotion.refit import with_refit
from cardwatch.promotion.split import TemporalSplit
from models.training import TrainingSettings
from pipelines.steps.comparison import Comparison, judged_model, population_of
from pipelines.steps.fitting import CandidateModel, RecentRows, fit_candidate
from pipelines.steps.training_set import TrainingSet

log = logging.getLogger(__name__)


class RefitRows(NamedTuple):
    """The rows of both windows of `split`, the drift reference, the data contract, and the half-life of rows in days.

    They are those of the judged challenger.
    """

    rows: TrainingSet
    split: TemporalSplit
    recent: RecentRows
    contract: DataContract | None
    half_life_days: float | None


def refit_promoted(
    facts: DetectorFacts, compared: Comparison, data: RefitRows, folder: Path, policies: Policies
) -> tuple[CandidateModel | None, Comparison]:
    """Fit the challenger of a comparison again with its judged days, and save it in `folder`.

    `facts` are those of the judged challenger, whose settings are used without another search. Returns the model to
    register, None if that is the judged one, and the comparison with the result. A refused challenger is not fitted
    again, nor one whose policy says so.
    """
    if not compared.verdict.promoted or not policies.promotion.refit:
        return None, compared
    rows = data.rows.between(data.split.train_from, data.split.evaluate_until)
    candidate = fit_candidate(
        rows.with_half_life(data.half_life_days),
        data.recent,
        folder,
        msgspec.convert(facts.settings, TrainingSettings),
        structs.replace(policies.training, trials=0),
        contract=data.contract,
    )
    is_judged = (rows.days >= (compared.evaluated_from - EPOCH.date()).days) & ~np.isnan(rows.policy_amount_minor)
    judged = np.flatnonzero(is_judged)
    refit = judged_model(
        candidate.held_out_margins[judged],
        candidate.held_out_probabilities[judged],
        rows.at(is_judged),
        policies.decision,
    )
    bundle = compared.bundle
    evidence = structs.replace(bundle.evidence, refit=refit)
    report = with_refit(bundle.report, evidence, decision=bundle.decision, promotion=bundle.promotion)
    is_registered = report.refit is not None and report.refit.passed
    log.info("%s", report.verdict.reasons[-1])
    inputs = structs.replace(bundle.inputs, refit_digest=candidate.digest if is_registered else None)
    return candidate if is_registered else None, structs.replace(
        compared,
        verdict=report.verdict,
        population=population_of(rows) if is_registered else compared.population,
        bundle=structs.replace(bundle, evidence=evidence, report=report, inputs=inputs),
    )
