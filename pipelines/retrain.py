"""Stage 6, the flow `retrain`: from what was known at the end of a day to a judged and registered model."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from msgspec import structs
from prefect import flow, get_run_logger

from adapters.archive import Archive
from adapters.model_registry import ModelRegistry
from adapters.model_tracking import ModelTracking
from adapters.policies import read_policies
from adapters.settings import Settings
from adapters.table_store import TableStore
from cardwatch.drift import DriftPolicy
from cardwatch.promotion import Windows, windows
from pipelines.fitting import Candidate, fit_candidate
from pipelines.promote import Trial, hold_trial, load_champion, promote, register
from pipelines.steps import begin_run, insist_on_being_wanted, step
from pipelines.training_set import ReplayedLog, TrainingSet, end_of, replay_log, training_set

MATURITY_DAYS: Final = DriftPolicy().maturity_days
JUDGE_DAYS: Final = DriftPolicy().judge_days
TRAIN_DAYS: Final = 90
MINIMUM_TRAIN_DAYS: Final = 14


@flow(name="retrain")  # type: ignore[untyped-decorator]
def retrain(
    as_of_day: date, reasons: list[str], maturity_days: int = MATURITY_DAYS, judge_days: int = JUDGE_DAYS
) -> dict[str, Any]:
    """Train a challenger on what was known at the end of `as_of_day` and let the gate decide. `reasons`: why now."""
    settings = begin_run()
    log = replay(settings)
    chosen = windows(
        as_of_day,
        first=log.first_day,
        maturity_days=maturity_days,
        judge_days=judge_days,
        train_days=TRAIN_DAYS,
        minimum_train_days=MINIMUM_TRAIN_DAYS,
    )
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
    log = replay_log(Archive(settings.archive, settings.index_url), TableStore(settings.tables).all())
    get_run_logger().info("replayed %d transactions of %d cards", len(log.features), len(log.cards))
    return log


@step
def assemble(settings: Settings, log: ReplayedLog, as_of: date, chosen: Windows) -> TrainingSet:
    """Rows of both windows with the labels known at the end of `as_of`."""
    rows = training_set(log, Archive(settings.archive, settings.index_url).labels(end_of(as_of)), as_of, chosen)
    get_run_logger().info(
        "%d rows, %d frauds, fingerprint %s: train on [%s, %s), judge on [%s, %s)",
        len(rows.is_fraud),
        int(rows.is_fraud.sum()),
        rows.fingerprint[:12],
        chosen.train_from,
        chosen.judge_from,
        chosen.judge_from,
        chosen.judge_until,
    )
    return rows


@step
def fit(rows: TrainingSet, log: ReplayedLog, chosen: Windows, folder: Path) -> Candidate:
    """Fit on the training window alone."""
    candidate = fit_candidate(rows.between(chosen.train_from, chosen.judge_from), log, folder)
    get_run_logger().info("fitted the model %s", candidate.digest[:12])
    return candidate


@step
def judge_against_champion(settings: Settings, candidate: Candidate, rows: TrainingSet, chosen: Windows) -> Trial:
    """Champion and challenger on the same rows."""
    with closing(ModelRegistry(settings.mlflow_url)) as registry:
        champion = load_champion(registry)
    trial = hold_trial(champion, candidate.detector, rows, chosen, read_policies(settings))
    for reason in trial.verdict.reasons:
        get_run_logger().info("%s", reason)
    return trial


@step
def publish(
    settings: Settings, candidate: Candidate, trial: Trial, chosen: Windows, name: str, because: list[str]
) -> str:
    """Register what was judged; the aliases follow the verdict."""
    insist_on_being_wanted(settings)
    version = register(ModelTracking(settings.mlflow_url), candidate, trial, chosen, name=name, because=because)
    with closing(ModelRegistry(settings.mlflow_url)) as registry:
        promote(registry, version, candidate, trial.verdict)
    get_run_logger().info("version %s %s", version, "is champion" if trial.verdict.promoted else "was refused")
    return version
