"""SIGKILL at random moments: nothing lost, nothing twice, every recorded feature that of a replay, to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore
from adapters.runtime.kafka_connection import KafkaClient
from cardwatch.topics import DECISIONS
from cli.demo.observer import live_positions
from cli.demo.topic_audit import audit_topics
from infra.local_stack.servers import is_responding
from pipelines.steps.training_set import replay_log

KILLS_EACH = 3
EACH_CLIENT = pytest.mark.parametrize(
    "kafka_client", [KafkaClient.CONFLUENT, pytest.param(KafkaClient.KAFKA_PYTHON, marks=pytest.mark.long)]
)


def random_pauses(seed: int) -> Iterator[int]:
    """Yield numbers of decisions to wait for before the next kill."""
    chance = random.Random(seed)
    while True:
        yield chance.randrange(20, 400)


@EACH_CLIENT
@pytest.mark.timeout(600)
def test_kills_of_worker_and_scoring_service_lose_nothing_repeat_nothing_and_change_no_feature(
    system: Any, go: Callable[[Any], None]
) -> None:
    start = live_positions(system.settings)
    system.stack.start("stream")
    go(system)
    pauses = random_pauses(seed=20_251)
    for victims in [("stream",), ("scoring",), ("stream", "scoring")] * KILLS_EACH:
        wanted = sum(system.ends(DECISIONS).values()) + next(pauses)
        # On a slow machine the traffic may end before the last kill, which then hits an idle system.
        system.until(
            f"{wanted} decisions before {victims} are killed",
            lambda wanted=wanted: (
                sum(system.ends(DECISIONS).values()) >= wanted
                or ("generator" in system.stack.supervisor.finished and system.is_all_decided())
            ),
        )
        system.until("the scoring service is back", lambda: is_responding(f"{system.settings.scoring_url}/readyz"))
        system.stack.supervisor.kill(*victims)
        system.stack.start(*victims, wait=False)
    system.stack.supervisor.wait("generator")
    system.until("everything decided", system.is_all_decided)

    counts = audit_topics(system.settings, start)
    assert counts.transactions == 15_000
    assert (counts.lost, counts.duplicates, counts.strays) == (0, 0, 0)
    assert counts.decisions + counts.repeats == counts.transactions

    system.archive_everything(Archive(system.settings.archive).days()[-1] + timedelta(days=60))
    archive = Archive(system.settings.archive)
    decisions = archive.decisions(archive.days()[0], archive.days()[-1])
    replayed = replay_log(archive, ReferenceTableStore(system.settings.tables).all())
    assert decisions.num_rows == counts.decisions
    assert recorded_features(decisions) == features_of(replayed)
    assert any(decisions["degraded"].to_pylist()), "no kill was felt: the test proves nothing"
    system.stack.supervisor.stop("stream")
    with LmdbStore(system.settings.store, readonly=True) as store:
        states = {card: state.tobytes() for card, state in zip(replayed.cards, replayed.states, strict=True)}
        assert store.cards() == states


def recorded_features(decisions: pa.Table) -> dict[tuple[int, int], bytes]:
    rows = decisions["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return by_position(decisions, rows.astype(np.float32).reshape(decisions.num_rows, -1))


def features_of(replayed: Any) -> dict[tuple[int, int], bytes]:
    """Features of the transactions that were streamed, which come after the history."""
    rows = by_position(replayed.transactions, replayed.features)
    duplicates = by_position(replayed.transactions, replayed.duplicates[:, None])
    ends = history_ends(replayed)
    return {
        (partition, offset): row
        for (partition, offset), row in rows.items()
        if offset >= ends[partition] and duplicates[partition, offset] == b"\x00"
    }


def history_ends(replayed: Any) -> dict[int, int]:
    """The generator sends history first and the fixed-rate phase after it: offsets by partition at the seam."""
    days = replayed.transactions["occurred_at"].cast(pa.date32()).to_numpy()
    partitions = replayed.transactions["partition"].to_numpy()
    offsets = replayed.transactions["log_offset"].to_numpy()
    live = days >= days.min() + np.timedelta64(16, "D")
    return {int(p): int(offsets[(partitions == p) & live].min()) for p in np.unique(partitions)}


def by_position(rows: pa.Table, values: Any) -> dict[tuple[int, int], bytes]:
    positions = zip(rows["partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True)
    return {position: value.tobytes() for position, value in zip(positions, values, strict=True)}
