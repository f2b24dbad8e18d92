"""Checks that hold after any fault: one decision each, in order, with the features of a replay to the bit.

The topics are read under `read_committed`, with the Kafka client that the workers do not use.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec import Struct

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.open import open_reader
from adapters.kafka.topics import end_offsets
from adapters.runtime.settings import Settings
from cardwatch.topics import DECISIONS, TRANSACTIONS
from cli.demo.observer import Positions
from cli.demo.topic_audit import TopicAudit, audit_topics, committed_records
from pipelines.steps.training_set import replay_log
from tests.e2e.system import HISTORY_DAYS, System

UNCLOSED_SOCKETS = pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
"""For tests that break connections: kafka-python leaves a socket whose handshake failed to the garbage collector."""


class Evidence(NamedTuple):
    """The audit, and the numbers of decisions that the rules made, and that come after one of a later transaction.

    `latencies_ms` are the times from the log to each decision, `committed_at_ms` those when the broker got it.
    """

    audit: TopicAudit
    degraded: int
    out_of_order: int
    latencies_ms: list[float]
    committed_at_ms: list[int]


class _Decision(Struct):
    partition: int
    offset: int
    latency_ms: float
    degraded: bool = False


def positions_now(settings: Settings) -> dict[tuple[str, int], int]:
    """Where an audit of what comes from now on begins; call it when everything is decided."""
    return {
        (topic, partition): end
        for topic in (TRANSACTIONS, DECISIONS)
        for partition, end in end_offsets(settings.kafka, topic, read_committed=False).items()
    }


def gather(settings: Settings, start: Positions) -> Evidence:
    """Read what has come since `start`; call it when everything is decided and no traffic comes."""
    decode = msgspec.json.Decoder(_Decision).decode
    newest: dict[int, int] = {}
    latencies_ms, committed_at_ms = [], []
    degraded = out_of_order = 0
    for record in committed_records(settings, DECISIONS, start):
        decision = decode(record.value or b"")
        assert decision.partition == record.partition
        degraded += decision.degraded
        latencies_ms.append(decision.latency_ms)
        committed_at_ms.append(record.timestamp_ms)
        out_of_order += decision.offset <= newest.get(record.partition, -1)
        newest[record.partition] = decision.offset
    return Evidence(audit_topics(settings, start), degraded, out_of_order, latencies_ms, committed_at_ms)


def require_one_decision_each(evidence: Evidence) -> None:
    """Require that nothing is lost, nothing is decided twice, and all is decided in the order of the log."""
    audit = evidence.audit
    assert (audit.lost, audit.duplicates, audit.strays, audit.dead_letters, evidence.out_of_order) == (0, 0, 0, 0, 0)
    assert audit.decisions + audit.repeats == audit.transactions


def require_features_and_states_of_a_replay(system: System) -> int:
    """Require that every recorded feature and every state in the store is that of a replay of the archive, to the bit.

    The workers must have stopped. Gives the number of decisions.
    """
    settings = system.settings
    system.archive_everything(Archive(settings.archive).days()[-1] + timedelta(days=60))
    archive = Archive(settings.archive)
    decisions = archive.decisions(archive.days()[0], archive.days()[-1])
    replayed = replay_log(archive, ReferenceTableStore(settings.tables).all())
    assert recorded_features(decisions) == features_of(replayed)
    assert stored_states(settings) == {
        card: state.tobytes() for card, state in zip(replayed.cards, replayed.states, strict=True)
    }
    return int(decisions.num_rows)


def stored_states(settings: Settings) -> dict[str, bytes]:
    store = open_reader(settings)
    assert store is not None
    with store, store.contents() as contents:
        return {
            card: state.tobytes() for cards, states in contents.cards for card, state in zip(cards, states, strict=True)
        }


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
    live = days >= days.min() + np.timedelta64(HISTORY_DAYS, "D")
    return {int(p): int(offsets[(partitions == p) & live].min()) for p in np.unique(partitions)}


def by_position(rows: pa.Table, values: Any) -> dict[tuple[int, int], bytes]:
    positions = zip(rows["partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True)
    return {position: value.tobytes() for position, value in zip(positions, values, strict=True)}
