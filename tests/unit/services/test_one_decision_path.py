"""Stream worker, stream function, `/v1/score` and its function record the same decision about the same transactions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.dynamodb_outbox import OutboxCard, OutboxCards, OutboxShard
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.records import Preview
from cardwatch.errors import CardwatchError, NoModelServed, ScoringUnavailable
from cardwatch.events import EPOCH, Action, Decision, Transaction, decode, encode
from cardwatch.features.definitions import column
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores, StateArray
from cardwatch.records import Outgoing, Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import DECISIONS, TRANSACTIONS
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.preview import PreviewScorer
from services.scoring.aws.remote_preview import RemotePreviewScorer
from services.scoring.model.manager import ServedModels
from services.stream.aws.embedded_metrics import InvocationMetrics
from services.stream.aws.event_records import ShardRecord
from services.stream.aws.worker import ShardWorker
from services.stream.decision_engine import DecisionEngine
from services.stream.decision_log import DecisionLog
from services.stream.worker import StreamWorker

NOW_MS = 1_800_000_000_000.0
POLICY = DecisionPolicy()
NO_CHAMPION = "no champion: train one"


class AmountModel:
    """A detector and a scorer at once: the larger the amount, the riskier. `failure` is what a query comes to."""

    def __init__(self, failure: CardwatchError | None = None) -> None:
        self.failure = failure

    def margins(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.log10(rows[:, column("amount")] + 1).astype(np.float32) - np.float32(3)

    def probabilities(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-margins.astype(np.float64)))

    def reasons(self, rows: NDArray[np.float32]) -> list[list[str]]:
        return [["AMOUNT"] for _ in rows]

    def score(self, rows: NDArray[np.float32], _above: NDArray[np.float64], **_: object) -> Scores:
        if self.failure is not None:
            raise self.failure
        margins = self.margins(rows)
        probabilities = self.probabilities(margins)
        return Scores(
            model_version="7",
            model_digest="d",
            margins=margins,
            probabilities=probabilities,
            reasons=self.reasons(rows),
        )


class EmptyStore:
    """No card has a history, and what is written is forgotten."""

    def load(self, card_ids: Sequence[str]) -> StateArray:
        return empty_states(len(card_ids))

    def applied(self, _partition: int) -> int:
        return 0

    def apply(self, *_: object, **__: object) -> None:
        pass

    def read(self, shards: Sequence[int], card_ids: Sequence[str]) -> tuple[list[OutboxShard], OutboxCards]:
        cards = [OutboxCard(False, {}, None, []) for _ in card_ids]
        return [OutboxShard(number, 0, None) for number in shards], OutboxCards(self.load(card_ids), cards)

    def begin(self, *_: object) -> None:
        pass

    def write(self, *_: object) -> set[str]:
        return set()

    def finish(self, *_: object) -> None:
        pass

    def record_partitions(self, partitions: int) -> int:
        return partitions


class Written:
    """The log of the worker and the delivery of the function: decisions as bytes."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def decisions(self, _batch: str, lines: Sequence[bytes]) -> None:
        self.lines += lines

    def commit(self, outgoing: Sequence[Outgoing], _positions: Mapping[int, int]) -> None:
        self.lines += [record.value for record in outgoing if record.topic == DECISIONS]

    def committed(self, _partitions: Sequence[int]) -> dict[int, int]:
        return {}

    def first(self, _partition: int) -> int:
        return 0


@pytest.fixture(scope="module")
def transactions() -> Sequence[Transaction]:
    """Two hours around a midnight, with large amounts among them, several of one card, and a repeat at the end."""
    simulated = Simulation(SimulationSettings(seed=5, cards=50, merchants=200)).day(0).transactions[:40]
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    moved = [
        structs.replace(
            each, occurred_at=midnight + timedelta(minutes=3 * (i - 20)), amount_minor=each.amount_minor * 10 ** (i % 4)
        )
        for i, each in enumerate(simulated)
    ]
    return [*moved, moved[0]]


def by_worker(model: AmountModel, tables: ReferenceTableStore, transactions: Sequence[Transaction]) -> list[bytes]:
    written, engine = Written(), DecisionEngine(model, POLICY, lambda: NOW_MS)
    worker = StreamWorker(EmptyStore(), tables, engine, UNCHECKED)  # type: ignore[arg-type]
    worker.assign_partitions(written, [0])  # type: ignore[arg-type]
    records = [
        Record(TRANSACTIONS, 0, offset, int(NOW_MS) - 5, each.card_id.encode(), encode(each))
        for offset, each in enumerate(transactions)
    ]
    worker.process_batch(written, {0: records})  # type: ignore[arg-type]
    worker.settle()
    return written.lines


def by_function(model: AmountModel, tables: ReferenceTableStore, transactions: Sequence[Transaction]) -> list[bytes]:
    written, engine = Written(), DecisionEngine(model, POLICY, lambda: NOW_MS)
    worker: Any = ShardWorker(EmptyStore(), tables, engine, written, InvocationMetrics(DecisionLog()))  # type: ignore[arg-type]
    worker.process(
        0, [ShardRecord(i, each.card_id.encode(), encode(each), int(NOW_MS) - 5) for i, each in enumerate(transactions)]
    )
    return written.lines


def previews_with(tables: ReferenceTableStore) -> PreviewScorer:
    return PreviewScorer(CardStateReader(EmptyStore, None, time.monotonic), tables, POLICY)  # type: ignore[arg-type]


def by_endpoint(model: AmountModel, tables: ReferenceTableStore, transactions: Sequence[Transaction]) -> list[Preview]:
    """As `/v1/score` does: the reasons of alerts are added afterwards."""
    champion: Any = SimpleNamespace(detector=model, version=SimpleNamespace(version="7", digest="d"))
    served = ServedModels(champion if model.failure is None else None)
    previews, alerts = previews_with(tables).preview(transactions, served, str(model.failure))
    for index, codes in zip(alerts.indices, model.reasons(alerts.features), strict=True):
        previews[index].reasons.extend(codes)
    return previews


def expected_preview(line: bytes) -> bytes:
    """The preview that says what a decision of record says."""
    decision = decode(line, Decision)
    shared = set(Preview.__struct_fields__) & set(Decision.__struct_fields__)
    fields = {name: getattr(decision, name) for name in shared}
    return encode(Preview(transaction_id=decision.transaction.transaction_id, **fields))


@pytest.mark.parametrize("failure", [None, NoModelServed(NO_CHAMPION), ScoringUnavailable("no answer within 5 s")])
@pytest.mark.parametrize("table", ["none", "fresh", "stale from midnight on", "damaged"])
def test_the_same_transactions_get_the_same_decision_on_every_path(
    tmp_path: Path, transactions: Sequence[Transaction], table: str, failure: CardwatchError | None
) -> None:
    model, tables = AmountModel(failure), ReferenceTableStore(tmp_path)
    last_day = (transactions[-2].occurred_at.date() - EPOCH.date()).days
    if table != "none":
        tables.put(ReferenceTable.empty(last_day - (WINDOW_DAYS if table.startswith("stale") else 2)))
    if table == "damaged":
        [file] = tmp_path.iterdir()
        file.write_bytes(b"half")
    lines = by_worker(model, tables, transactions)
    decisions = [decode(line, Decision) for line in lines]
    assert len(decisions) == len(transactions) - 1, "the repeat has a decision"
    assert sorted(by_function(model, tables, transactions)) == sorted(lines)

    together = by_endpoint(model, tables, transactions)
    if failure is None or table in ("none", "fresh"):
        assert [encode(preview) for preview in together[:-1]] == [expected_preview(line) for line in lines]
    assert together[-1].repeated
    assert together[-1].action is None

    remote = RemotePreviewScorer(previews_with(tables), model, POLICY)
    for transaction in transactions[:-1]:
        [line] = by_worker(model, tables, [transaction])
        assert encode(remote.preview(transaction)) == expected_preview(line)

    degraded = [decision.degraded for decision in decisions]
    by_model = {"none": 40, "fresh": 40, "stale from midnight on": 20, "damaged": 0}[table] if failure is None else 0
    assert degraded == [False] * by_model + [True] * (40 - by_model)
    if by_model:
        assert {decision.action for decision in decisions} > {Action.APPROVE}
        assert any(decision.reasons == ["AMOUNT"] for decision in decisions)
