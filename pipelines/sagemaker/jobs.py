"""Steps of retraining that run as SageMaker jobs, on the functions of `pipelines.steps` that the Prefect flows use."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.object_keys import TABLES_PREFIX
from adapters.aws.s3_archive import EVERYTHING, S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_registry import Package, Registration, SageMakerRegistry
from adapters.model_registry.model_folder import pack_model, unpack_model, write_model
from adapters.runtime.files import read_folder
from adapters.runtime.policy_file import Policies
from cardwatch.data_contract.contract import DataContract, decode_contract, encode_contract
from cardwatch.detector.detector import Detector
from cardwatch.drift.progress_state import quarantine_after
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_maturity import end_of_day
from cardwatch.progress import Bootstrapped, RetrainingEnded
from cardwatch.registry import ModelVersion
from pipelines.sagemaker.execution import CandidateVerdict, ExecutionArtifacts, TrainingSetInfo
from pipelines.sagemaker.training_files import (
    recent_from_parquet,
    recent_to_parquet,
    rows_from_parquet,
    rows_to_parquet,
)
from pipelines.steps.assembled_inputs import describe_inputs
from pipelines.steps.comparison import Comparison, ScoredCandidate, compare_champion_challenger
from pipelines.steps.contract_learning import learn_data_contract
from pipelines.steps.fitting import CandidateModel, RecentRows, fit_candidate, recent_rows
from pipelines.steps.refit import RefitRows, refit_promoted
from pipelines.steps.registration import TrainingOrigin, describe, require_first_champion
from pipelines.steps.training_set import TrainingSet, assemble_training_set, newest_closed_day, replay_log


class RetrainingJob(NamedTuple):
    """Dependencies of all steps of one retraining. `folder` is empty, and is deleted after the step."""

    artifacts: ExecutionArtifacts
    registry: SageMakerRegistry
    policies: Policies
    folder: Path


class CandidateReference(NamedTuple):
    """References of a champion for monitoring: feature rows of the newest days, and the data contract."""

    recent: RecentRows
    contract: DataContract | None


def assemble(job: RetrainingJob, as_of: date) -> None:
    """Replay the complete archive, and store the rows of both windows with the labels known at the end of `as_of`."""
    rows, reference, info = _training_set(job, as_of, evaluation_days=job.policies.drift.judge_days)
    job.artifacts.put_training_set(
        info,
        rows=rows_to_parquet(rows),
        recent=recent_to_parquet(reference.recent),
        contract=encode_contract(reference.contract) if reference.contract else None,
    )


def fit(job: RetrainingJob, model_folder: Path) -> None:
    """Fit a candidate on the training window, and write it to the folder that SageMaker stores after a training job."""
    info = job.artifacts.training_set_info()
    rows = rows_from_parquet(job.artifacts.training_rows(), info.fingerprint, info.label_coverage)
    candidate = _fit(job, rows, _stored_reference(job), info, job.policies.training.half_life_days)
    write_model(model_folder, _unregistered(job, candidate), read_folder(candidate.folder))


def judge(job: RetrainingJob) -> Comparison:
    """Compare the candidate with the champion, fit a promoted one again with the judged days, and store the verdict.

    A refused candidate ends the retraining.
    """
    info = job.artifacts.training_set_info()
    candidate, files = unpack_model(job.artifacts.candidate_archive())
    rows = rows_from_parquet(job.artifacts.training_rows(), info.fingerprint, info.label_coverage)
    scored = ScoredCandidate(Detector.from_files(files), candidate.tags["digest"])
    half_life_days = job.policies.training.half_life_days
    comparison, _, _ = _compare(job, scored, rows, _stored_reference(job), info, half_life_days)
    if not comparison.verdict.promoted:
        ended = RetrainingEnded(
            day=info.as_of, challenger_version=None, promoted=False, reasons=comparison.verdict.reasons
        )
        S3ProgressLog(job.artifacts.bucket).write(info.as_of, ProgressPart.RETRAINING, [ended])
    return comparison


def bootstrap(job: RetrainingJob, as_of: date | None, *, image: str, holdout_days: int) -> Package:
    """Train the first champion on the archived history and register it as approved; `image` serves it.

    `as_of` defaults to the newest closed day. This is one job, because there is no endpoint and no drift yet. A second
    call returns the champion of the first one. Raises `ModelRefused` with the gate's reasons if the model is not
    promoted.
    """
    found = job.registry.find_by_execution(job.artifacts.name)
    if found is not None:
        return found
    rows, reference, info = _training_set(job, as_of, evaluation_days=holdout_days)
    candidate = _fit(job, rows, reference, info)
    scored = ScoredCandidate(candidate.detector, candidate.digest)
    comparison, verdict, refit = _compare(job, scored, rows, reference, info)
    require_first_champion(comparison.verdict)
    package = job.registry.register(
        job.artifacts.bucket,
        Registration(
            execution=job.artifacts.name,
            files=read_folder((refit or candidate).folder),
            tags=verdict.tags,
            image=image,
            approved=True,
        ),
    )
    bootstrapped = Bootstrapped(
        day=info.as_of,
        champion_version=package.version.version,
        average_precision=float(package.version.tags["average_precision"]),
    )
    S3ProgressLog(job.artifacts.bucket).write(info.as_of, ProgressPart.RETRAINING, [bootstrapped])
    return package


def identity_tags(digest: str, fingerprint: str) -> dict[str, str]:
    """Return the tags by which registries and scoring services verify the files of a model."""
    return {"digest": digest, "schema_hash": SCHEMA_HASH, "fingerprint": fingerprint}


def _training_set(
    job: RetrainingJob, as_of: date | None, *, evaluation_days: int
) -> tuple[TrainingSet, CandidateReference, TrainingSetInfo]:
    """Replay the complete archive, which is downloaded to the folder of the job with all reference tables."""
    stored = S3Archive(job.artifacts.bucket, job.folder / "archive")
    archive = stored.fetch_index()
    stored.fetch_files(EVERYTHING)
    job.artifacts.bucket.fetch_folder(TABLES_PREFIX, job.folder / "tables")
    tables = ReferenceTableStore(job.folder / "tables")
    history = replay_log(archive, tables.all(), tables.former_days(), policy=job.policies.decision)
    day = as_of or newest_closed_day(archive)
    excluded = quarantined_days(job, day)
    split = history.split(
        day,
        maturity_days=job.policies.drift.maturity_days,
        evaluation_days=evaluation_days,
        excluded_days=excluded,
    )
    labels = archive.labels(end_of_day(day))
    rows = assemble_training_set(history, labels, day, split, excluded, policy=job.policies.decision)
    reference = CandidateReference(
        recent_rows(history, day, split, excluded), learn_data_contract(archive, day, excluded)
    )
    info = TrainingSetInfo(
        as_of=day,
        split=split,
        fingerprint=rows.fingerprint,
        label_coverage=rows.label_coverage,
        inputs=describe_inputs(archive, history, labels, day, split, excluded),
        excluded_days=sorted(excluded),
    )
    return rows, reference, info


def quarantined_days(job: RetrainingJob, as_of: date) -> frozenset[date]:
    """Return the days that are quarantined at the end of `as_of`, from the progress records in the bucket."""
    records = S3ProgressLog(job.artifacts.bucket).before(as_of + timedelta(days=1))
    return quarantine_after(records).excluded_days


def _fit(
    job: RetrainingJob,
    rows: TrainingSet,
    reference: CandidateReference,
    info: TrainingSetInfo,
    half_life_days: float | None = None,
) -> CandidateModel:
    training = rows.between(info.split.train_from, info.split.evaluate_from).with_half_life(half_life_days)
    return fit_candidate(
        training,
        reference.recent,
        job.folder / "candidate",
        policy=job.policies.training,
        contract=reference.contract,
    )


def _stored_reference(job: RetrainingJob) -> CandidateReference:
    contract = job.artifacts.contract()
    recent = recent_from_parquet(job.artifacts.recent_rows())
    return CandidateReference(recent, decode_contract(contract) if contract else None)


def _unregistered(job: RetrainingJob, candidate: CandidateModel) -> ModelVersion:
    """Return a candidate as a version. It has no number yet, so the name of its execution stands for it."""
    name = job.artifacts.name
    return ModelVersion(version=name, run_id=name, tags=identity_tags(candidate.digest, candidate.fingerprint))


def _compare(
    job: RetrainingJob,
    candidate: ScoredCandidate,
    rows: TrainingSet,
    reference: CandidateReference,
    info: TrainingSetInfo,
    half_life_days: float | None = None,
) -> tuple[Comparison, CandidateVerdict, CandidateModel | None]:
    """Compare a candidate with the champion, fit it again if it was promoted, and store the result.

    Returns the comparison, the verdict and the model that was fitted again, None if the judged one is registered.
    """
    comparison = compare_champion_challenger(job.registry, candidate, rows, info.split, job.policies, info.inputs)
    again = RefitRows(rows, info.split, reference.recent, reference.contract, half_life_days)
    facts = candidate.detector.facts
    refit, comparison = refit_promoted(facts, comparison, again, job.folder / "refit", job.policies)
    name = job.artifacts.name
    because = [f"execution {name}"]
    origin = TrainingOrigin(because=because, flow_run=name, policies=job.policies, half_life_days=half_life_days)
    digest = refit.digest if refit else candidate.digest
    registered = refit.detector if refit else candidate.detector
    description = describe(registered.facts, comparison, origin, digest=digest)
    verdict = CandidateVerdict(
        as_of=info.as_of,
        digest=digest,
        is_refit=refit is not None,
        verdict=comparison.verdict,
        tags={**description.tags, **identity_tags(digest, rows.fingerprint)},
    )
    if refit is not None:
        job.artifacts.put_refit(pack_model(_unregistered(job, refit), read_folder(refit.folder)))
    job.artifacts.put_verdict(verdict, description.documents, description.bundle)
    return comparison, verdict, refit
