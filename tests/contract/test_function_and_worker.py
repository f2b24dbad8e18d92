"""The function on AWS and the local stream worker, each with its own store, client and serving process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.dynamodb import create_table
from adapters.feature_store.dynamodb_outbox import DynamoDbOutbox
from adapters.feature_store.lmdb import LmdbStore
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import Action, DeadLetter, Decision, Transaction, decode, encode
from cardwatch.partitioning import UNCHECKED
from cardwatch.records import Outgoing, Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import DECISIONS, TRANSACTIONS
from models.training import FittedDetector
from services.stream.aws.embedded_metrics import InvocationMetrics
from services.stream.aws.event_records import ShardRecord
from services.stream.aws.worker import ShardWorker
from services.stream.decision_engine import DecisionEngine
from services.stream.decision_log import DecisionLog
from services.stream.worker import StreamWorker

NOW_MS = 1_800_000_000_000.0
BATCH = 100


class Kept:
    """Decisions as they are delivered, and as they are committed."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def decisions(self, batch: str, lines: Sequence[bytes]) -> None:
        self.lines += lines

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        raise AssertionError(letters)

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        self.lines += [record.value for record in outgoing if record.topic == DECISIONS]

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {}

    def first(self, partition: int) -> int:
        return 0

    def end(self, partition: int) -> int | None:
        return None

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        raise AssertionError


@pytest.fixture(scope="module")
def transactions() -> Sequence[Transaction]:
    """Transactions of some cards over days: most cards have a history, some transactions are fraud."""
    world = Simulation(SimulationSettings(seed=5, cards=60, merchants=200, fraud_share=0.02))
    return [transaction for day in range(4) for transaction in world.day(day).transactions][:600]


def by_function(container: Any, transactions: Sequence[Transaction], url: str, folder: Path) -> list[Decision]:
    kept = Kept()
    with closing(DynamoDbOutbox(url)) as cards, container.open_scorer(30.0) as scorer:
        engine = DecisionEngine(scorer, DecisionPolicy(), lambda: NOW_MS)
        worker = ShardWorker(cards, ReferenceTableStore(folder), engine, kept, InvocationMetrics(DecisionLog()))
        arrivals = [
            ShardRecord(10**55 + number, each.card_id.encode(), encode(each), int(NOW_MS))
            for number, each in enumerate(transactions)
        ]
        for start in range(0, len(arrivals), BATCH):
            assert worker.process(0, arrivals[start : start + BATCH]) == []
    return [decode(line, Decision) for line in kept.lines]


def by_worker(service: Any, transactions: Sequence[Transaction], folder: Path) -> list[Decision]:
    kept = Kept()
    with LmdbStore(folder / "store") as store, service.open_scorer(30.0) as scorer:
        worker = StreamWorker(
            store,
            ReferenceTableStore(folder / "tables"),
            DecisionEngine(scorer, DecisionPolicy(), lambda: NOW_MS),
            UNCHECKED,
        )
        worker.assign_partitions(kept, [0])
        records = [
            Record(TRANSACTIONS, 0, offset, int(NOW_MS), each.card_id.encode(), encode(each))
            for offset, each in enumerate(transactions)
        ]
        worker.process_batch(kept, {0: records})
        worker.settle()
    return [decode(line, Decision) for line in kept.lines]


@pytest.mark.proves("moto", "features, margin, action and reasons are the local stack's to the bit, by the same model")
def test_features_margins_actions_and_reasons_are_the_same_to_the_bit(
    service: Any,
    container: Any,
    fitted: FittedDetector,
    transactions: Sequence[Transaction],
    dynamodb_endpoint: str,
    tmp_path: Path,
) -> None:
    url = f"dynamodb://function-and-worker?region=eu-central-1&endpoint={dynamodb_endpoint}"
    create_table(url)
    for serving in (service, container):
        serving.serve(fitted.files, "2")
    function = {each.transaction.transaction_id: each for each in by_function(container, transactions, url, tmp_path)}
    worker = {each.transaction.transaction_id: each for each in by_worker(service, transactions, tmp_path)}
    assert len(function) == len(worker) == len(transactions)
    assert [encode(without_place(function[name])) for name in worker] == [
        encode(without_place(each)) for each in worker.values()
    ]
    actions = Counter(each.action for each in function.values())
    assert len(actions) > 1, "nothing alarming among them: reasons were not compared"
    assert any(each.reasons for each in function.values() if each.action is not Action.APPROVE)
    assert not any(each.degraded for each in function.values())


def without_place(decision: Decision) -> Decision:
    """All of it but where it stands in its log, which are two logs."""
    values = {name: getattr(decision, name) for name in decision.__struct_fields__}
    return Decision(**{**values, "partition": 0, "offset": 0})
