"""Flow `retrain`: train a challenger on the data known at the end of a day, compare it and register it."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import structs
from prefect import flow, runtime

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.move_log.open import open_ladder
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import Settings
from cardwatch.label_maturity import end_of_day
from cardwatch.promotion.split import TemporalSplit
from pipelines.flows.tasks import as_task, begin_run, require_live_run
from pipelines.steps import assembled_inputs, comparison, contract_learning, fitting, training_set
from pipelines.steps import refit as refit_step
from pipelines.steps.comparison import Comparison, ScoredCandidate
from pipelines.steps.fitting import CandidateModel, recent_rows
from pipelines.steps.refit import RefitRows
from pipelines.steps.registration import TrainingOrigin, promote, register
from pipelines.steps.training_set import EVALUATION_DAYS, MATURITY_DAYS, ReplayedLog

log = logging.getLogger(__name__)

replay_log = as_task(training_set.replay_log)
assemble_training_set = as_task(training_set.assemble_training_set)
learn_data_contract = as_task(contract_learning.learn_data_contract)
describe_inputs = as_task(assembled_inputs.describe_inputs)
fit_candidate = as_task(fitting.fit_candidate)
compare_champion_challenger = as_task(comparison.compare_champion_challenger)
refit_promoted = as_task(refit_step.refit_promoted)


@flow(name="retrain")  # type: ignore[untyped-decorator]
def retrain(
    as_of_day: date,
    reasons: list[str],
    maturity_days: int = MATURITY_DAYS,
    judge_days: int = EVALUATION_DAYS,
    excluded_days: list[date] | None = None,
) -> dict[str, Any]:
    """Train a challenger on the data known at the end of `as_of_day`; it enters the ladder if the gate promotes it.

    `judge_days` is the length of the evaluation window. `reasons` are stored with the model. `excluded_days` are
    quarantined: they are left out of training and judging.
    """
    settings = begin_run()
    history = replay_archive(settings)
    excluded = frozenset(excluded_days or ())
    split = history.split(as_of_day, maturity_days=maturity_days, evaluation_days=judge_days, excluded_days=excluded)
    version, compared = train_and_register(
        settings,
        history,
        as_of_day,
        split,
        name=f"retrain {as_of_day}",
        because=reasons,
        excluded_days=excluded,
        half_life_days=read_policies(settings).training.half_life_days,
    )
    return {
        "version": version,
        "promoted": compared.verdict.promoted,
        "reasons": compared.verdict.reasons,
        "metrics": structs.asdict(compared.challenger),
    }


def replay_archive(settings: Settings) -> ReplayedLog:
    """Replay the complete archive through the feature kernel."""
    archive = Archive(settings.archive, settings.index_url)
    tables = ReferenceTableStore(settings.tables)
    return replay_log(archive, tables.all(), tables.former_days(), policy=read_policies(settings).decision)


def train_and_register(
    settings: Settings,
    history: ReplayedLog,
    as_of: date,
    split: TemporalSplit,
    *,
    name: str,
    because: list[str],
    excluded_days: frozenset[date] = frozenset(),
    half_life_days: float | None = None,
) -> tuple[str, Comparison]:
    """Run the steps that both flows share and return the new version with its comparison.

    `half_life_days`: see `TrainingSet.with_half_life`.
    """
    policies = read_policies(settings)
    archive = Archive(settings.archive, settings.index_url)
    labels = archive.labels(end_of_day(as_of))
    rows = assemble_training_set(history, labels, as_of, split, excluded_days, policy=policies.decision)
    inputs = describe_inputs(archive, history, labels, as_of, split, excluded_days)
    contract = learn_data_contract(archive, as_of, excluded_days)
    recent = recent_rows(history, as_of, split, excluded_days)
    with TemporaryDirectory(prefix="cardwatch-") as folder:
        training = rows.between(split.train_from, split.evaluate_from).with_half_life(half_life_days)
        candidate = fit_candidate(
            training, recent, Path(folder) / "challenger", policy=policies.training, contract=contract
        )
        with closing(MlflowRegistry(settings.mlflow_url)) as registry:
            scored = ScoredCandidate(candidate.detector, candidate.digest)
            compared = compare_champion_challenger(registry, scored, rows, split, policies, inputs)
            again = RefitRows(rows, split, recent, contract, half_life_days)
            refit, compared = refit_promoted(
                candidate.detector.facts, compared, again, Path(folder) / "refit", policies
            )
            origin = TrainingOrigin(
                because=because,
                flow_run=str(runtime.flow_run.id or ""),
                policies=policies,
                half_life_days=half_life_days,
            )
            return publish(settings, registry, refit or candidate, compared, origin, name), compared


@as_task
def publish(
    settings: Settings,
    registry: MlflowRegistry,
    candidate: CandidateModel,
    compared: Comparison,
    origin: TrainingOrigin,
    name: str,
) -> str:
    """Register the candidate, set the aliases by its verdict, and return its version."""
    require_live_run(settings)
    version = register(MlflowTracking(settings.mlflow_url), candidate, compared, origin, name=name)
    promote(
        registry,
        open_ladder(settings, registry),
        origin.policies.ladder,
        version,
        candidate,
        compared.verdict,
        as_of=compared.bundle.inputs.as_of,
    )
    log.info("version %s %s", version, "has passed its verdict" if compared.verdict.promoted else "was refused")
    return version
