"""The steps of retraining that run as SageMaker jobs, each the Prefect task of its name: see `pipelines.stages`."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import NamedTuple

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.object_keys import TABLES_PREFIX
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import EVERYTHING, S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_registry import Package, Registration, SageMakerRegistry
from adapters.model_registry.model_folder import unpack_model, write_model
from adapters.runtime.files import read_folder
from adapters.runtime.policy_file import Policies
from cardwatch.detector.detector import Detector
from cardwatch.errors import ModelRefused
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.progress import Bootstrapped, RetrainingEnded
from cardwatch.promotion.gate import Windows
from cardwatch.registry import ModelVersion
from pipelines import stages
from pipelines.fitting import Candidate, recent_rows
from pipelines.promote import Trial, describe
from pipelines.sagemaker.execution import Assembled, Execution, Judged
from pipelines.sagemaker.training_files import (
    features_from_parquet,
    features_to_parquet,
    rows_from_parquet,
    rows_to_parquet,
)
from pipelines.training_set import TrainingSet

log = logging.getLogger(__name__)


class RetrainingJob(NamedTuple):
    """What all steps of one retraining need. `folder` is empty, and goes when the step ends."""

    execution: Execution
    registry: SageMakerRegistry
    policies: Policies
    folder: Path

    @property
    def bucket(self) -> Bucket:
        """Where everything is kept."""
        return self.execution.bucket


def assemble(run: RetrainingJob, as_of: date) -> None:
    """Replay the whole archive, and keep the rows of both windows as they were known at the end of `as_of`."""
    archive, tables = fetch_history(run)
    replayed = stages.replay(archive, tables, log)
    drift = run.policies.drift
    chosen = stages.choose_windows(replayed, as_of, maturity_days=drift.maturity_days, judge_days=drift.judge_days)
    rows = stages.assemble(archive, replayed, as_of, chosen, log)
    run.execution.put_data(
        Assembled(as_of=as_of, windows=chosen, fingerprint=rows.fingerprint),
        rows=rows_to_parquet(rows),
        recent=features_to_parquet(recent_rows(replayed)),
    )


def fit(run: RetrainingJob, model_folder: Path) -> None:
    """Fit on the training window, and leave the candidate where SageMaker looks for what a training job has made.

    The candidate has no number yet; until it is registered it goes by the name of its execution.
    """
    assembled = run.execution.assembled()
    rows = rows_from_parquet(run.execution.rows(), assembled.fingerprint)
    recent = features_from_parquet(run.execution.recent())
    candidate = stages.fit(rows, recent, assembled.windows, run.folder / "candidate", log)
    version = ModelVersion(version=run.execution.name, run_id=run.execution.name, tags=identity(candidate))
    write_model(model_folder, version, read_folder(candidate.folder))


def judge(run: RetrainingJob) -> Trial:
    """Judge the candidate against the champion. A refused one ends the retraining here."""
    assembled = run.execution.assembled()
    candidate, files = unpack_model(run.execution.trained())
    rows = rows_from_parquet(run.execution.rows(), assembled.fingerprint)
    detector = Detector.from_files(files)
    trial, _ = hold(run, detector, candidate.tags, rows, assembled.as_of, assembled.windows)
    if not trial.verdict.promoted:
        ended = RetrainingEnded(
            day=assembled.as_of, challenger_version=None, promoted=False, reasons=trial.verdict.reasons
        )
        S3ProgressLog(run.bucket).write(assembled.as_of, ProgressPart.RETRAINING, [ended])
    return trial


def bootstrap(run: RetrainingJob, as_of: date | None, *, image: str, holdout_days: int) -> Package:
    """Train the first champion on the archived history and register it, approved; `image` is what serves it.

    `as_of` is the archive's last day if it is None. All steps in one, for this is done before there is any endpoint or
    drift. Started again it finds the champion that is there. Raises `ModelRefused` with the gate's reasons if the model
    is not good enough.
    """
    found = run.registry.of_execution(run.execution.name)
    if found is not None:
        return found
    archive, tables = fetch_history(run)
    replayed = stages.replay(archive, tables, log)
    day = as_of or replayed.last_day
    chosen = stages.choose_windows(
        replayed, day, maturity_days=run.policies.drift.maturity_days, judge_days=holdout_days
    )
    rows = stages.assemble(archive, replayed, day, chosen, log)
    candidate = stages.fit(rows, recent_rows(replayed), chosen, run.folder / "candidate", log)
    trial, judged = hold(run, candidate.detector, identity(candidate), rows, day, chosen)
    if not trial.verdict.promoted:
        raise ModelRefused("the first model is not good enough to be champion: " + "; ".join(trial.verdict.reasons))
    package = run.registry.register(
        run.bucket,
        Registration(
            execution=run.execution.name,
            files=read_folder(candidate.folder),
            tags=judged.tags,
            image=image,
            approved=True,
        ),
    )
    precision = float(package.version.tags["average_precision"])
    told = Bootstrapped(day=day, champion_version=package.version.version, average_precision=precision)
    S3ProgressLog(run.bucket).write(day, ProgressPart.RETRAINING, [told])
    return package


def hold(
    run: RetrainingJob,
    detector: Detector,
    identity_tags: dict[str, str],
    rows: TrainingSet,
    as_of: date,
    chosen: Windows,
) -> tuple[Trial, Judged]:
    """Hold the trial of a candidate and keep what came of it."""
    trial = stages.judge_against_champion(run.registry, detector, rows, chosen, run.policies, log)
    digest = identity_tags["digest"]
    described = describe(detector.facts, trial, chosen, digest=digest, because=[f"execution {run.execution.name}"])
    judged = Judged(as_of=as_of, digest=digest, verdict=trial.verdict, tags={**described.tags, **identity_tags})
    run.execution.put_judged(judged, described.pages)
    return trial, judged


def identity(candidate: Candidate) -> dict[str, str]:
    """The tags by which a registry, and whoever serves it, knows a model's bytes."""
    return {"digest": candidate.digest, "schema_hash": SCHEMA_HASH, "fingerprint": candidate.fingerprint}


def fetch_history(run: RetrainingJob) -> tuple[Archive, ReferenceTableStore]:
    """The whole archive and every table, in the run's folder."""
    stored = S3Archive(run.bucket, run.folder / "archive")
    archive = stored.fetch_index()
    stored.fetch_files(EVERYTHING)
    run.bucket.fetch_folder(TABLES_PREFIX, run.folder / "tables")
    return archive, ReferenceTableStore(run.folder / "tables")
