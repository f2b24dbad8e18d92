"""Stage 6, the flow `retrain`: from what was known at the end of a day to a judged and registered model."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from msgspec import structs
from prefect import flow, get_run_logger

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import Settings
from cardwatch.promotion.gate import Windows
from pipelines import stages
from pipelines.fitting import Candidate, recent_rows
from pipelines.promote import Trial, promote, register
from pipelines.steps import begin_run, insist_on_being_wanted, step
from pipelines.training_set import ReplayedLog, TrainingSet

MATURITY_DAYS: Final = stages.MATURITY_DAYS
JUDGE_DAYS: Final = stages.JUDGE_DAYS
TRAIN_DAYS: Final = stages.TRAIN_DAYS
MINIMUM_TRAIN_DAYS: Final = stages.MINIMUM_TRAIN_DAYS


@flow(name="retrain")  # type: ignore[untyped-decorator]
def retrain(
    as_of_day: date, reasons: list[str], maturity_days: int = MATURITY_DAYS, judge_days: int = JUDGE_DAYS
) -> dict[str, Any]:
    """Train a challenger on what was known at the end of `as_of_day` and let the gate decide. `reasons`: why now."""
    settings = begin_run()
    log = replay(settings)
    chosen = stages.choose_windows(log, as_of_day, maturity_days=maturity_days, judge_days=judge_days)
    version, trial = train_and_judge(settings, log, as_of_day, chosen, name=f"retrain {as_of_day}", because=reasons)
    return {
        "version": version,
        "promoted": trial.verdict.promoted,
        "reasons": trial.verdict.reasons,
        "metrics": structs.asdict(trial.challenger),
    }


def train_and_judge(
    settings: Settings, log: ReplayedLog, as_of: date, chosen: Windows, *, name: str, because: list[str]
) -> tuple[str, Trial]:
    """The steps that bootstrap and retraining share; gives the new version and its trial."""
    rows = assemble(settings, log, as_of, chosen)
    with TemporaryDirectory(prefix="cardwatch-") as folder:
        candidate = fit(rows, log, chosen, Path(folder) / "challenger")
        trial = judge_against_champion(settings, candidate, rows, chosen)
        return publish(settings, candidate, trial, chosen, name, because), trial


@step
def replay(settings: Settings) -> ReplayedLog:
    """The whole archived log through the kernel."""
    archive = Archive(settings.archive, settings.index_url)
    return stages.replay(archive, ReferenceTableStore(settings.tables), get_run_logger())


@step
def assemble(settings: Settings, log: ReplayedLog, as_of: date, chosen: Windows) -> TrainingSet:
    """Rows of both windows with the labels known at the end of `as_of`."""
    archive = Archive(settings.archive, settings.index_url)
    return stages.assemble(archive, log, as_of, chosen, get_run_logger())


@step
def fit(rows: TrainingSet, log: ReplayedLog, chosen: Windows, folder: Path) -> Candidate:
    """Fit on the training window alone."""
    return stages.fit(rows, recent_rows(log), chosen, folder, get_run_logger())


@step
def judge_against_champion(settings: Settings, candidate: Candidate, rows: TrainingSet, chosen: Windows) -> Trial:
    """Champion and challenger on the same rows."""
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        return stages.judge_against_champion(
            registry, candidate.detector, rows, chosen, read_policies(settings), get_run_logger()
        )


@step
def publish(
    settings: Settings, candidate: Candidate, trial: Trial, chosen: Windows, name: str, because: list[str]
) -> str:
    """Register what was judged; the aliases follow the verdict."""
    insist_on_being_wanted(settings)
    version = register(MlflowTracking(settings.mlflow_url), candidate, trial, chosen, name=name, because=because)
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        promote(registry, version, candidate, trial.verdict)
    get_run_logger().info("version %s %s", version, "is champion" if trial.verdict.promoted else "was refused")
    return version
