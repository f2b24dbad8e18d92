"""Stages 6 and 7 for the first time, the flow `bootstrap`: archived history -> first champion, warm feature store."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from typing import Any, Final

import numpy as np
from prefect import flow, get_run_logger

from adapters.feature_store.open import open_store
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.progress import publish_progress
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.runtime.settings import Settings
from cardwatch.errors import ModelRefused
from cardwatch.progress import Bootstrapped
from cardwatch.promotion.gate import windows
from cardwatch.registry import CHAMPION
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from pipelines import stages
from pipelines.retrain import MATURITY_DAYS, MINIMUM_TRAIN_DAYS, TRAIN_DAYS, replay, train_and_judge
from pipelines.steps import begin_run, step
from pipelines.training_set import ReplayedLog

HOLDOUT_DAYS: Final = stages.HOLDOUT_DAYS


@flow(name="bootstrap")  # type: ignore[untyped-decorator]
def bootstrap(
    as_of_day: date | None = None, maturity_days: int = MATURITY_DAYS, holdout_days: int = HOLDOUT_DAYS
) -> dict[str, Any]:
    """Train the first champion on history up to `as_of_day` (the archive's last day) and fold history into the store.

    Started again after an interruption it does what is left: a champion that is there stays, and so does a partition
    of the store that has been written.
    """
    settings = begin_run()
    log = replay(settings)
    day = as_of_day or log.last_day
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        if registry.alias(CHAMPION) is None:
            first_champion(settings, log, day, maturity_days, holdout_days)
        champion = registry.champion()
    warm_store(settings, log)
    start_stream_where_history_ends(settings, log)
    average_precision = float(champion.tags["average_precision"])
    publish_progress(
        settings.kafka_bootstrap,
        Bootstrapped(day=day, champion_version=champion.version, average_precision=average_precision),
    )
    return {"version": champion.version, "average_precision": average_precision}


def first_champion(settings: Settings, log: ReplayedLog, day: date, maturity_days: int, holdout_days: int) -> None:
    """Train and promote a first model; raises `ModelRefused` with the gate's reasons if it is not good enough."""
    chosen = windows(
        day,
        first=log.first_day,
        maturity_days=maturity_days,
        judge_days=holdout_days,
        train_days=TRAIN_DAYS,
        minimum_train_days=MINIMUM_TRAIN_DAYS,
    )
    _, trial = train_and_judge(
        settings, log, day, chosen, name=f"bootstrap {day}", because=["there is no champion yet"]
    )
    if not trial.verdict.promoted:
        raise ModelRefused("the first model is not good enough to be champion: " + "; ".join(trial.verdict.reasons))


@step
def warm_store(settings: Settings, log: ReplayedLog) -> None:
    """Write the folded states; a partition that somebody has written before is left alone."""
    with open_store(settings) as store:
        for partition, end in log.ends.items():
            if store.applied(partition):
                get_run_logger().info("partition %d is in the store already", partition)
                continue
            here = np.flatnonzero(log.card_partitions == partition)
            store.apply(
                partition,
                expected=0,
                position=end,
                card_ids=[log.cards[card] for card in here],
                states=log.states[here],
            )
            get_run_logger().info("partition %d: %d cards, applied up to offset %d", partition, len(here), end)


@step
def start_stream_where_history_ends(settings: Settings, log: ReplayedLog) -> None:
    """Commit the stream worker's positions; those that it has committed itself are left alone."""
    with closing(OffsetReader(settings.kafka_bootstrap, STREAM_GROUP)) as inquiry:
        known = inquiry.committed(TRANSACTIONS, sorted(log.ends))
    fresh = {partition: end for partition, end in log.ends.items() if partition not in known}
    if fresh:
        commit_offsets(settings.kafka_bootstrap, STREAM_GROUP, TRANSACTIONS, fresh)
    get_run_logger().info("%s starts at %s", STREAM_GROUP, {**log.ends, **known})
