"""Registration of a compared candidate, and promotion of the version if the gate promoted it.

A version has its verdict from its first moment: in the tags `verdict` (promoted or refused), `verdict_reasons` (JSON),
`verdict_digest`, `average_precision` and `frauds` (of the evaluation), in the artifact `verdict.json` of its run, and
with everything that it rests on in the folder `verdict` (`adapters.model_registry.verdict_bundle`). The tag
`label_coverage` (JSON) says of how many transactions of its training set the outcome was known, presumed or censored;
`measurable` (JSON, `MeasuredPerformance` or null) is what monitoring compares its decisions with.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec
from msgspec import Struct, structs

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from cardwatch.detector.detector import DetectorFacts
from cardwatch.errors import CorruptModel, ModelRefused
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.promotion.split import TemporalSplit
from cardwatch.promotion.verdict import VERDICT_FOLDER, Verdict
from cardwatch.registry import CHALLENGER, CHAMPION, digest_of
from models.model_card import model_card
from pipelines.steps.comparison import TRAINED_UNTIL, Comparison
from pipelines.steps.fitting import CandidateModel


class ModelDescription(Struct, frozen=True, kw_only=True):
    """What is registered with a model, in MLflow and in SageMaker.

    `documents` and the files of the verdict's `bundle` are by file name.
    """

    tags: dict[str, str]
    documents: dict[str, str]
    bundle: dict[str, bytes]


def describe(
    facts: DetectorFacts,
    comparison: Comparison,
    split: TemporalSplit,
    *,
    digest: str,
    because: list[str],
    excluded_days: Iterable[date] = (),
) -> ModelDescription:
    """Return the description of a compared candidate. `because` are the reasons for its training.

    `excluded_days` are the quarantined days that it was neither trained nor judged on.
    """
    training_window = _training_window(split)
    bundle = comparison.bundle.files()
    return ModelDescription(
        tags={
            **training_window,
            **_evaluation_window(comparison),
            "because": _json(because),
            "excluded_days": _json(sorted(excluded_days)),
            "verdict_digest": digest_of(bundle),
            "verdict": "promoted" if comparison.verdict.promoted else "refused",
            "verdict_reasons": _json(comparison.verdict.reasons),
            "average_precision": _json(comparison.challenger.average_precision),
            "frauds": _json(comparison.challenger.frauds),
            "label_coverage": _json(comparison.label_coverage),
            "measurable": _json(comparison.measurable),
        },
        documents={
            "model_card.md": model_card(facts, comparison.challenger, digest=digest, notes=training_window),
            "verdict.json": msgspec.json.format(msgspec.json.encode(_document(comparison))).decode(),
        },
        bundle=bundle,
    )


def register(
    tracking: MlflowTracking,
    candidate: CandidateModel,
    comparison: Comparison,
    split: TemporalSplit,
    *,
    name: str,
    because: list[str],
    excluded_days: Iterable[date] = (),
) -> str:
    """Log and register a compared candidate in MLflow and return its version. For the rest see `describe`."""
    facts = candidate.detector.facts
    description = describe(
        facts, comparison, split, digest=candidate.digest, because=because, excluded_days=excluded_days
    )
    counts = {"rows": facts.rows, "frauds": facts.frauds}
    return tracking.log_model(
        candidate.folder,
        run_name=name,
        schema_hash=SCHEMA_HASH,
        fingerprint=candidate.fingerprint,
        params={**facts.settings, **counts, **_training_window(split), **_evaluation_window(comparison)},
        metrics=_metrics(comparison),
        artifacts={
            **{document: text.encode() for document, text in description.documents.items()},
            **{f"{VERDICT_FOLDER}/{file}": content for file, content in description.bundle.items()},
        },
        tags=description.tags,
    )


def _document(comparison: Comparison) -> dict[str, object]:
    return {
        "verdict": comparison.verdict,
        "challenger": comparison.challenger,
        "champion": comparison.champion,
        "champion_version": comparison.champion_version,
        "baselines": comparison.baselines,
        "label_coverage": comparison.label_coverage,
        "measurable": comparison.measurable,
        "judge_from": comparison.evaluated_from,
        "judge_until": comparison.evaluated_until,
        "excluded_days": comparison.bundle.report.excluded_days,
    }


def promote(registry: MlflowRegistry, version: str, candidate: CandidateModel, verdict: Verdict) -> None:
    """Set the alias `challenger` to this version and, if the verdict promotes it, the alias `champion` too.

    Raises `CorruptModel`, and sets no alias, if the registered digest is not that of the candidate.
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


def require_first_champion(verdict: Verdict) -> None:
    """Raise `ModelRefused` with the gate's reasons if the verdict on a first model does not promote it."""
    if not verdict.promoted:
        raise ModelRefused("the first model is not good enough to be champion: " + "; ".join(verdict.reasons))


def _training_window(split: TemporalSplit) -> dict[str, str]:
    return {"trained_from": str(split.train_from), TRAINED_UNTIL: str(split.evaluate_from)}


def _evaluation_window(comparison: Comparison) -> dict[str, str]:
    return {"judged_from": str(comparison.evaluated_from), "judged_until": str(comparison.evaluated_until)}


def _metrics(comparison: Comparison) -> dict[str, float | None]:
    metrics: dict[str, float | None] = dict(structs.asdict(comparison.challenger))
    if comparison.champion is not None:
        metrics |= {f"champion_{name}": value for name, value in structs.asdict(comparison.champion).items()}
    for baseline, evaluation in comparison.baselines.items():
        metrics |= {f"{baseline}_{name}": value for name, value in structs.asdict(evaluation).items()}
    return metrics


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
