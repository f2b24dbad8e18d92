"""A worker whose store lags behind the beginning of the topic, on a real broker that has deleted records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from numpy.typing import NDArray

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, transaction_row
from adapters.feature_store.lmdb import LmdbStore
from adapters.kafka.offsets import commit_offsets
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import create_topics
from adapters.kafka.transactional_log import TransactionalLog
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import GapLost, ScoringUnavailable
from cardwatch.events import EPOCH, Channel, Transaction, encode
from cardwatch.features.columns import card_index
from cardwatch.features.columns import encode as encode_rows
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import Supervisor
from services.stream.decision_engine import DecisionEngine
from services.stream.worker import StreamWorker

LOG = [
    Transaction(
        transaction_id=f"t-{number}",
        card_id="busy" if number < 30 else f"card-{number % 4}",
        merchant_id="m",
        occurred_at=EPOCH + timedelta(days=20_000, minutes=number),
        amount_minor=1_000 + number,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )
    for number in range(60)
]


@pytest.fixture(scope="module")
def shortened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker whose `transactions` held all of the log; offsets below 35 are deleted, those below 45 decided."""
    settings = Settings(home=tmp_path_factory.mktemp("kafka"))
    broker = EmbeddedKafka(settings)
    with Supervisor(settings.home) as supervisor:
        supervisor.start(broker.process_spec())
        create_topics(broker.connection, partitions=1)
        writer = LogWriter(broker.connection)
        for transaction in LOG:
            writer.write(TRANSACTIONS, transaction.card_id, encode(transaction))
        writer.flush()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for deleted in admin.delete_records([TopicPartition(TRANSACTIONS, 0, 35)]).values():
            deleted.result(timeout=10)
        commit_offsets(broker.connection, STREAM_GROUP, TRANSACTIONS, {0: 45})
        yield broker.connection


class UnavailableScorer:
    """A scorer that never answers."""

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        raise ScoringUnavailable("no model in this test")


def archive(folder: Path, stop: int) -> ArchivedLog:
    writer = ArchiveWriter(folder)
    rows = [transaction_row(transaction, 0, offset) for offset, transaction in enumerate(LOG[:stop])]
    writer.write({TRANSACTIONS: rows}, {(TRANSACTIONS, 0): stop})
    writer.close()
    return ArchivedLog(folder)


def follow(broker: KafkaConnection, worker: StreamWorker, slot: str, stop: int) -> None:
    """Work until `stop` is committed."""
    stream: TransactionalLog
    stream = TransactionalLog(
        broker, slot, on_assigned=lambda p: worker.assign_partitions(stream, p), on_revoked=worker.revoke_partitions
    )
    deadline = time.monotonic() + 60
    try:
        while stream.committed([0])[0] < stop:
            assert time.monotonic() < deadline, "the log was not finished within a minute"
            if polled := stream.poll(0.2, limit=100):
                worker.process_batch(stream, polled)
                worker.settle()
    finally:
        stream.close()


def test_deleted_records_come_from_the_archive_and_the_others_from_the_topic(shortened: str, tmp_path: Path) -> None:
    with LmdbStore(tmp_path / "store") as store:
        engine = DecisionEngine(UnavailableScorer(), DecisionPolicy(), lambda: 0.0)
        tables = ReferenceTableStore(tmp_path / "tables")
        without = StreamWorker(store, tables, engine, UNCHECKED, archive(tmp_path / "short", 20))
        with pytest.raises(GapLost, match=r"applied up to 0, the topic begins at 35, and the archive holds up to 20"):
            follow(shortened, without, "first", 60)
        assert store.cards() == {}
        follow(
            shortened, StreamWorker(store, tables, engine, UNCHECKED, archive(tmp_path / "archive", 40)), "first", 60
        )
        cards, index = card_index([transaction.card_id for transaction in LOG])
        states = empty_states(len(cards))
        fold(states, index, encode_rows(LOG), ReferenceTable.empty())
        assert store.cards() == {card: state.tobytes() for card, state in zip(cards, states, strict=True)}
