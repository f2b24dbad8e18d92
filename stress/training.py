"""Training, judging and registration of a model in a stress world, by the steps of the pipelines."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from adapters.archive.arrow_columns import epoch_ms
from adapters.runtime.files import read_folder
from adapters.runtime.policy_file import Policies
from cardwatch.label_maturity import end_of_day
from cardwatch.promotion.verdict import Verdict
from cardwatch.registry import ModelVersion, digest_of
from pipelines.steps.assembled_inputs import describe_inputs
from pipelines.steps.comparison import ScoredCandidate, compare_champion_challenger
from pipelines.steps.contract_learning import learn_data_contract
from pipelines.steps.fitting import SETTINGS, fit_candidate, recent_rows
from pipelines.steps.refit import RefitRows, refit_promoted
from pipelines.steps.registration import TrainingOrigin, version_tags
from pipelines.steps.training_set import ReplayedLog, assemble_training_set, decided_columns
from stress.memory_registry import MemoryRegistry
from stress.world import StressWorld


def replayed_log(world: StressWorld) -> ReplayedLog:
    """Return what a replay of the world's archive gives; the features are those of the decisions, to the bit."""
    first, last = world.days[0].day, world.days[-1].day
    transactions = world.archive.transaction_columns(
        first, last, ["transaction_id", "card_id", "occurred_at", "amount_minor"]
    )
    return ReplayedLog(
        transactions=transactions,
        occurred_at_ms=epoch_ms(transactions),
        features=np.concatenate([day.features for day in world.days]),
        duplicates=np.concatenate([day.duplicates for day in world.days]),
        **decided_columns(transactions, world.archive.actions()),
        cards=world.features.cards,
        card_partitions=np.zeros(len(world.features.cards), np.int64),
        states=world.features.states,
        ends={0: transactions.num_rows},
    )


def train_and_register(
    world: StressWorld,
    registry: MemoryRegistry,
    policies: Policies,
    as_of: date,
    *,
    evaluation_days: int,
    because: list[str],
    excluded_days: frozenset[date] = frozenset(),
    half_life_days: float | None = None,
) -> tuple[ModelVersion, Verdict]:
    """Train a challenger on what is known at the end of `as_of`, and promote it if the gate does, as the flows do.

    Raises `NotEnoughHistory` if there are too few days.
    """
    history, archive = replayed_log(world), world.archive
    split = history.split(
        as_of,
        maturity_days=policies.drift.maturity_days,
        evaluation_days=evaluation_days,
        excluded_days=excluded_days,
    )
    labels = archive.labels(end_of_day(as_of))
    rows = assemble_training_set(history, labels, as_of, split, excluded_days, policy=policies.decision)
    inputs = describe_inputs(archive, history, labels, as_of, split, excluded_days)
    recent = recent_rows(history, as_of, split, excluded_days)
    contract = learn_data_contract(archive, as_of, excluded_days)
    with TemporaryDirectory(prefix="cardwatch-stress-") as folder:
        candidate = fit_candidate(
            rows.between(split.train_from, split.evaluate_from).with_half_life(half_life_days),
            recent,
            Path(folder) / "challenger",
            SETTINGS,
            policies.training,
            contract=contract,
        )
        scored = ScoredCandidate(candidate.detector, candidate.digest)
        compared = compare_champion_challenger(registry, scored, rows, split, policies, inputs)
        again = RefitRows(rows, split, recent, contract, half_life_days)
        refit, compared = refit_promoted(candidate.detector.facts, compared, again, Path(folder) / "refit", policies)
        files = read_folder((refit or candidate).folder)
    origin = TrainingOrigin(because=because, flow_run="", policies=policies, half_life_days=half_life_days)
    tags = version_tags(compared, origin, verdict_digest=digest_of(compared.bundle.files()))
    version = registry.register(files, tags, promoted=compared.verdict.promoted)
    return version, compared.verdict
