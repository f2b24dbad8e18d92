"""Flow `bootstrap`: train the first champion on the archived history and fill the feature store."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import date
from typing import Any

import numpy as np
from prefect import flow

from adapters.archive.reader import Archive
from adapters.feature_store.open import open_store
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.progress import publish_progress
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.runtime.settings import Settings
from cardwatch.progress import Bootstrapped
from cardwatch.registry import CHAMPION
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from pipelines.flows.retrain import replay_archive, train_and_register
from pipelines.flows.tasks import as_task, begin_run
from pipelines.steps.registration import require_first_champion
from pipelines.steps.training_set import HOLDOUT_DAYS, MATURITY_DAYS, ReplayedLog, newest_closed_day

log = logging.getLogger(__name__)


@flow(name="bootstrap")  # type: ignore[untyped-decorator]
def bootstrap(
    as_of_day: date | None = None, maturity_days: int = MATURITY_DAYS, holdout_days: int = HOLDOUT_DAYS
) -> dict[str, Any]:
    """Train the first champion on history up to `as_of_day` (default: the newest closed day) and fill the store.

    The flow can be run again after an interruption: it keeps an existing champion and store partitions that have been
    written. Raises `ModelRefused` with the gate's reasons if the first model is not promoted.
    """
    settings = begin_run()
    day = as_of_day or newest_closed_day(Archive(settings.archive, settings.index_url))
    history = replay_archive(settings)
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        if registry.alias(CHAMPION) is None:
            split = history.split(day, maturity_days=maturity_days, evaluation_days=holdout_days)
            reasons = ["there is no champion yet"]
            _, compared = train_and_register(settings, history, day, split, name=f"bootstrap {day}", because=reasons)
            require_first_champion(compared.verdict)
        champion = registry.champion()
    fill_store(settings, history)
    commit_stream_offsets(settings, history)
    average_precision = float(champion.tags["average_precision"])
    publish_progress(
        settings.kafka,
        Bootstrapped(day=day, champion_version=champion.version, average_precision=average_precision),
    )
    return {"version": champion.version, "average_precision": average_precision}


@as_task
def fill_store(settings: Settings, history: ReplayedLog) -> None:
    """Write the card states to the feature store. Partitions that are in the store are not changed."""
    with open_store(settings) as store:
        for partition, end in history.ends.items():
            if store.applied(partition):
                log.info("partition %d is in the store already", partition)
                continue
            rows = np.flatnonzero(history.card_partitions == partition)
            store.apply(
                partition,
                expected=0,
                position=end,
                card_ids=[history.cards[row] for row in rows],
                states=history.states[rows],
            )
            log.info("partition %d: %d cards, applied up to offset %d", partition, len(rows), end)


@as_task
def commit_stream_offsets(settings: Settings, history: ReplayedLog) -> None:
    """Commit the end of history as the stream worker's offsets. Offsets that it has committed are not changed."""
    with closing(OffsetReader(settings.kafka, STREAM_GROUP)) as reader:
        committed = reader.committed(TRANSACTIONS, sorted(history.ends))
    missing = {partition: end for partition, end in history.ends.items() if partition not in committed}
    if missing:
        commit_offsets(settings.kafka, STREAM_GROUP, TRANSACTIONS, missing)
    log.info("%s starts at %s", STREAM_GROUP, {**history.ends, **committed})
