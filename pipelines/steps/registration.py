"""Registration of a compared candidate, and promotion of the version if the gate promoted it.

A version has its verdict from its first moment: in the tags `verdict` (promoted or refused), `verdict_reasons` (JSON),
`verdict_digest`, `average_precision` and `frauds` (of the evaluation), in the artifact `verdict.json` of its run, and
with everything that it rests on in the folder `verdict` (`adapters.model_registry.verdict_bundle`). The tag
`label_coverage` (JSON) says of how many transactions of its training set the outcome was known, presumed or censored;
`as_of` is the day at whose end it was trained, `log_ends` and `label_ends` (JSON) are the positions up to which both
logs were read, `code_version` and `flow_run` what trained it, with the reasons in `because` (JSON); `excluded_days`
(JSON) are the quarantined days that were left out;
`measurable` (JSON, `MeasuredPerformance` or null) and `missed_frauds` (JSON, `MissedFrauds` or null) are what
monitoring compares its decisions with. `judged_digest` is that of the model that was judged: not the version's `digest`
if it was fitted again with the judged days. `half_life_days` (JSON) is that of the weights of training rows.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec
from msgspec import Struct, structs

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import DatasetInfo, MlflowTracking
from adapters.runtime.policy_file import Policies
from cardwatch.detector.detector import DetectorFacts
from cardwatch.errors import CorruptModel, ModelRefused
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.ladder.climbing import enter
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.policy import LadderPolicy
from cardwatch.promotion.verdict import VERDICT_FOLDER, Verdict, VerdictReport
from cardwatch.registry import AS_OF, CHALLENGER, CHAMPION, digest_of
from models.model_card.page import model_card
from models.model_card.subject import CardPolicies, CardSubject, TrainingPopulation
from models.reliability import reliability_points
from models.reliability_plot import reliability_svg
from pipelines.steps.comparison import TRAINED_UNTIL, Comparison
from pipelines.steps.fitting import CandidateModel

RETRAINING: Final = "retraining"
"""The actor of moves that a training run makes."""


class TrainingOrigin(Struct, frozen=True, kw_only=True):
    """How a candidate came about: the reasons for its training, the run that trained it, and the policies.

    `half_life_days` is that of the rows' weights, None if all counted the same.
    """

    because: list[str]
    flow_run: str
    policies: Policies
    half_life_days: float | None = None


class ModelDescription(Struct, frozen=True, kw_only=True):
    """What is registered with a model, in MLflow and in SageMaker.

    `documents` and the files of the verdict's `bundle` are by file name.
    """

    tags: dict[str, str]
    documents: dict[str, str]
    bundle: dict[str, bytes]


def describe(facts: DetectorFacts, comparison: Comparison, origin: TrainingOrigin, *, digest: str) -> ModelDescription:
    """Return the description of a compared candidate."""
    bundle = comparison.bundle.files()
    verdict_digest = digest_of(bundle)
    return ModelDescription(
        tags=version_tags(comparison, origin, verdict_digest=verdict_digest),
        documents={
            "model_card.md": model_card(_card_subject(facts, comparison, origin, digest, verdict_digest)),
            "verdict.json": msgspec.json.format(msgspec.json.encode(_document(comparison))).decode(),
            "reliability_judged.svg": _reliability(comparison),
        },
        bundle=bundle,
    )


def version_tags(comparison: Comparison, origin: TrainingOrigin, *, verdict_digest: str) -> dict[str, str]:
    """Return the tags of a version. `verdict_digest` is that of the files of the verdict's bundle."""
    inputs = comparison.bundle.inputs
    return {
        **_training_window(comparison),
        **_evaluation_window(comparison),
        AS_OF: str(inputs.as_of),
        "because": _json(origin.because),
        "flow_run": origin.flow_run,
        "code_version": inputs.code_version,
        "log_ends": _json(inputs.log_ends),
        "label_ends": _json(inputs.label_ends),
        "excluded_days": _json(sorted(inputs.excluded_days)),
        "verdict_digest": verdict_digest,
        "judged_digest": inputs.challenger_digest,
        "half_life_days": _json(origin.half_life_days),
        "verdict": "promoted" if comparison.verdict.promoted else "refused",
        "verdict_reasons": _json(comparison.verdict.reasons),
        "average_precision": _json(comparison.challenger.average_precision),
        "frauds": _json(comparison.challenger.frauds),
        "label_coverage": _json(comparison.label_coverage),
        "measurable": _json(comparison.measurable),
        "missed_frauds": _json(comparison.missed),
    }


def register(
    tracking: MlflowTracking, candidate: CandidateModel, comparison: Comparison, origin: TrainingOrigin, *, name: str
) -> str:
    """Log and register a compared candidate in MLflow and return its version. For the rest see `describe`."""
    facts = candidate.detector.facts
    description = describe(facts, comparison, origin, digest=candidate.digest)
    counts = {"rows": facts.rows, "frauds": facts.frauds}
    return tracking.log_model(
        candidate.folder,
        run_name=name,
        schema_hash=SCHEMA_HASH,
        fingerprint=candidate.fingerprint,
        params={**facts.settings, **counts, **_training_window(comparison), **_evaluation_window(comparison)},
        metrics=_metrics(comparison),
        artifacts={
            **{document: text.encode() for document, text in description.documents.items()},
            **{f"{VERDICT_FOLDER}/{file}": content for file, content in description.bundle.items()},
        },
        tags=description.tags,
        feature_names=facts.feature_names,
        datasets=_datasets(candidate.fingerprint, comparison, description.tags["verdict_digest"]),
    )


def _card_subject(
    facts: DetectorFacts, comparison: Comparison, origin: TrainingOrigin, digest: str, verdict_digest: str
) -> CardSubject:
    bundle, policies = comparison.bundle, origin.policies
    return CardSubject(
        digest=digest,
        facts=facts,
        population=comparison.population,
        evidence=bundle.evidence,
        inputs=bundle.inputs,
        report=bundle.report,
        challenger=comparison.challenger,
        champion=comparison.champion,
        baselines=comparison.baselines,
        label_coverage=comparison.label_coverage,
        measurable=comparison.measurable,
        missed=comparison.missed,
        policies=CardPolicies(
            decision=bundle.decision,
            promotion=bundle.promotion,
            drift=policies.drift,
            training=policies.training,
            owner=policies.owner,
        ),
        because=origin.because,
        flow_run=origin.flow_run,
        verdict_digest=verdict_digest,
        half_life_days=origin.half_life_days,
    )


def _reliability(comparison: Comparison) -> str:
    rows = comparison.bundle.evidence
    points = reliability_points(rows.challenger.probabilities, rows.is_fraud, rows.weight)
    return reliability_svg(points, f"{len(rows.days):,} judged rows, on days after the training")


def _datasets(fingerprint: str, comparison: Comparison, verdict_digest: str) -> list[DatasetInfo]:
    """The rows that the model was trained and judged on, with the positions in the logs up to which they were read."""
    inputs = comparison.bundle.inputs
    source = {
        "as_of": inputs.as_of,
        "log_ends": inputs.log_ends,
        "label_ends": inputs.label_ends,
        "excluded_days": sorted(inputs.excluded_days),
    }
    return [
        DatasetInfo(
            name="training rows",
            context="training",
            digest=fingerprint,
            source=_json({**source, **_training_window(comparison), "fingerprint": fingerprint}),
            profile=_profile(comparison.population),
        ),
        DatasetInfo(
            name="judged rows",
            context="evaluation",
            digest=verdict_digest,
            source=_json({**source, **_evaluation_window(comparison), "verdict_digest": verdict_digest}),
            profile=_profile(comparison.bundle.report),
        ),
    ]


def _profile(rows: TrainingPopulation | VerdictReport) -> str:
    return _json({name: getattr(rows, name) for name in ("rows", "frauds", "cards", "days")})


def _document(comparison: Comparison) -> dict[str, object]:
    return {
        "verdict": comparison.verdict,
        "challenger": comparison.challenger,
        "champion": comparison.champion,
        "champion_version": comparison.champion_version,
        "baselines": comparison.baselines,
        "label_coverage": comparison.label_coverage,
        "measurable": comparison.measurable,
        "missed_frauds": comparison.missed,
        "judge_from": comparison.evaluated_from,
        "judge_until": comparison.evaluated_until,
        "excluded_days": comparison.bundle.report.excluded_days,
    }


def promote(
    registry: MlflowRegistry,
    mover: Mover,
    policy: LadderPolicy,
    version: str,
    candidate: CandidateModel,
    verdict: Verdict,
    *,
    as_of: date,
) -> None:
    """Set the alias `challenger` to this version and, if the verdict promotes it, let it enter the ladder.

    Raises `CorruptModel`, and changes nothing, if the registered digest is not that of the candidate.
    """
    registered = registry.version(version)
    if registered is None or registered.digest != candidate.digest:
        raise CorruptModel(
            f"version {version} is not what the verdict is about: its digest is "
            f"{registered.digest if registered else 'missing'}, {candidate.digest} was to be registered"
        )
    registry.set_alias(CHALLENGER, version)
    if verdict.promoted:
        champion = registry.alias(CHAMPION)
        enter(
            mover,
            policy,
            version,
            day=as_of,
            actor=RETRAINING,
            reason="it passed the offline verdict" if champion else "it is the first champion",
            is_comparable=champion is None or champion.schema_hash in {"", SCHEMA_HASH},
        )


def require_first_champion(verdict: Verdict) -> None:
    """Raise `ModelRefused` with the gate's reasons if the verdict on a first model does not promote it."""
    if not verdict.promoted:
        raise ModelRefused("the first model is not good enough to be champion: " + "; ".join(verdict.reasons))


def _training_window(comparison: Comparison) -> dict[str, str]:
    inputs = comparison.bundle.inputs
    return {"trained_from": str(inputs.trained_from), TRAINED_UNTIL: str(inputs.trained_until)}


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
