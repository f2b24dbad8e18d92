"""Stage 7: judge a candidate against the champion, register what was judged, and move the alias if it won.

A candidate carries its verdict from the moment it is a registered version: as tags `verdict` (promoted or refused),
`verdict_reasons` (JSON), `average_precision` and `frauds` (what it was measured at, and on how many), and as the
artifact `verdict.json` of its run. The alias moves only if the registered bytes are the judged ones.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import nan
from typing import Final

import msgspec
from msgspec import Struct, structs

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.policy_file import Policies
from cardwatch.detector.detector import Detector, DetectorFacts
from cardwatch.errors import CorruptModel
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.promotion.gate import Performance, Verdict, Windows, judge
from cardwatch.registry import CHALLENGER, CHAMPION, ModelRegistry, ModelVersion
from models.evaluation import Evaluation, evaluate
from models.model_card import model_card
from pipelines.fitting import Candidate
from pipelines.training_set import TrainingSet

TRAINED_UNTIL: Final = "trained_until"


class Champion(Struct, frozen=True, kw_only=True):
    """The champion as the registry has it, with the day (exclusive) until which it was trained."""

    version: str
    detector: Detector
    trained_until: date


class Trial(Struct, frozen=True, kw_only=True):
    """A verdict and what it rests on: both models on the same rows of [judge_from, judge_until)."""

    verdict: Verdict
    challenger: Evaluation
    champion: Evaluation | None
    champion_version: str | None
    judge_from: date
    judge_until: date


class Description(Struct, frozen=True, kw_only=True):
    """What is registered with a judged model, whatever the registry: its tags, and pages by name."""

    tags: dict[str, str]
    pages: dict[str, str]


def load_champion(registry: ModelRegistry) -> Champion | None:
    """The champion, its files checked against the registered digest; None if there is none yet."""
    version = registry.alias(CHAMPION)
    if version is None:
        return None
    return Champion(
        version=version.version,
        detector=Detector.from_files(registry.files(version)),
        trained_until=date.fromisoformat(version.tags[TRAINED_UNTIL]),
    )


def hold_trial(
    champion: Champion | None, challenger: Detector, rows: TrainingSet, windows: Windows, policies: Policies
) -> Trial:
    """Judge both on the days of the judging window that neither was trained on; the first reason names them."""
    judge_from = windows.judge_from if champion is None else max(windows.judge_from, champion.trained_until)
    unseen = rows.between(judge_from, windows.judge_until)
    seen, evaluation = _measure(challenger, unseen, policies)
    old_seen, old_evaluation = (None, None) if champion is None else _measure(champion.detector, unseen, policies)
    verdict = judge(old_seen, seen, policies.promotion)
    where = f"judged on days {judge_from} to {windows.judge_until - timedelta(days=1)}; {_trained(champion, windows)}"
    return Trial(
        verdict=Verdict(promoted=verdict.promoted, reasons=[where, *verdict.reasons]),
        challenger=evaluation,
        champion=old_evaluation,
        champion_version=None if champion is None else champion.version,
        judge_from=judge_from,
        judge_until=windows.judge_until,
    )


def describe(facts: DetectorFacts, trial: Trial, windows: Windows, *, digest: str, because: list[str]) -> Description:
    """The tags and pages of a judged candidate. `because` says why it was trained."""
    periods = _periods(windows)
    return Description(
        tags={
            **periods,
            **_judged(trial),
            "because": _json(because),
            "verdict": "promoted" if trial.verdict.promoted else "refused",
            "verdict_reasons": _json(trial.verdict.reasons),
            "average_precision": _json(trial.challenger.average_precision),
            "frauds": _json(trial.challenger.frauds),
        },
        pages={
            "model_card.md": model_card(facts, trial.challenger, digest=digest, notes=periods),
            "verdict.json": msgspec.json.format(msgspec.json.encode(trial)).decode(),
        },
    )


def register(
    tracking: MlflowTracking, candidate: Candidate, trial: Trial, windows: Windows, *, name: str, because: list[str]
) -> str:
    """Log and register a judged candidate; gives its version. `because` says why it was trained."""
    facts = candidate.detector.facts
    described = describe(facts, trial, windows, digest=candidate.digest, because=because)
    counts = {"rows": facts.rows, "frauds": facts.frauds}
    return tracking.log_model(
        candidate.folder,
        run_name=name,
        schema_hash=SCHEMA_HASH,
        fingerprint=candidate.fingerprint,
        params={**facts.settings, **counts, **_periods(windows), **_judged(trial)},
        metrics=_metrics(trial),
        texts=described.pages,
        tags=described.tags,
    )


def promote(registry: MlflowRegistry, version: str, candidate: Candidate, verdict: Verdict) -> ModelVersion:
    """Point `challenger` at this version and, if it won, `champion` too.

    Raises `CorruptModel`, and moves nothing, if the version does not hold the bytes that were judged.
    """
    registered = registry.version(version)
    if registered is None or registered.digest != candidate.digest:
        raise CorruptModel(
            f"version {version} is not what was judged: its digest is "
            f"{registered.digest if registered else 'missing'}, {candidate.digest} was judged"
        )
    registry.set_alias(CHALLENGER, version)
    if verdict.promoted:
        registry.set_alias(CHAMPION, version)
    return registered


def _periods(windows: Windows) -> dict[str, str]:
    return {"trained_from": str(windows.train_from), TRAINED_UNTIL: str(windows.judge_from)}


def _judged(trial: Trial) -> dict[str, str]:
    return {"judged_from": str(trial.judge_from), "judged_until": str(trial.judge_until)}


def _measure(detector: Detector, rows: TrainingSet, policies: Policies) -> tuple[Performance, Evaluation]:
    margins = detector.margins(rows.features)
    probabilities = detector.probabilities(margins)
    seen = evaluate(
        margins,
        rows.is_fraud,
        amount_minor=rows.amount_minor,
        card_ids=rows.card_ids.astype(str),
        days=rows.days,
        probabilities=probabilities,
        policy=policies.decision,
    )
    return (
        Performance(
            rows=seen.rows,
            frauds=seen.frauds,
            average_precision=_or_nan(seen.average_precision),
            recall=_or_nan(seen.recall_at_fpr_0_1_percent),
            expected_cost=_or_nan(seen.expected_cost),
            expected_frauds=float(probabilities.sum()),
        ),
        seen,
    )


def _metrics(trial: Trial) -> dict[str, float | None]:
    metrics: dict[str, float | None] = dict(structs.asdict(trial.challenger))
    if trial.champion is not None:
        metrics |= {f"champion_{name}": value for name, value in structs.asdict(trial.champion).items()}
    return metrics


def _trained(champion: Champion | None, windows: Windows) -> str:
    challenger = f"the challenger was trained on days before {windows.judge_from}"
    if champion is None:
        return f"{challenger}, there is no champion to compare with"
    return f"{challenger}, the champion (version {champion.version}) on days before {champion.trained_until}"


def _or_nan(value: float | None) -> float:
    return nan if value is None else value


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
