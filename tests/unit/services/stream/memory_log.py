"""The log in memory, a scorer without a model, and plain replays, for the tests of the stream worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.reference_tables import ReferenceTableStore
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import ScoringUnavailable, Superseded
from cardwatch.events import EPOCH, Channel, Decision, Transaction, decode, encode
from cardwatch.features.columns import card_index
from cardwatch.features.columns import encode as encode_rows
from cardwatch.features.definitions import column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import FeatureStore, Scores, Shadow
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DECISIONS, TRANSACTIONS
from services.stream.decision_engine import DecisionEngine
from services.stream.metrics import StreamMetrics
from services.stream.tracing import Tracer
from services.stream.worker import Observers, StreamWorker

NOW_MS = 1_800_000_000_000.0


class Killed(BaseException):
    """The process is gone at this point."""


class MemoryLog:
    """One partition of a log and a group's offset, with the broker's all-or-nothing commit."""

    def __init__(self, values: Sequence[bytes], keys: Sequence[bytes]) -> None:
        self.records = [
            Record(TRANSACTIONS, 0, offset, int(NOW_MS) - 5, key, value)
            for offset, (key, value) in enumerate(zip(keys, values, strict=True))
        ]
        self.position: int | None = None
        self.begins = 0
        self.written: list[Outgoing] = []
        self.dies = ""
        self.after_commit: Callable[[], None] = lambda: None

    def first(self, partition: int) -> int:
        return self.begins

    def end(self, partition: int) -> int | None:
        return len(self.records)

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {} if self.position is None else dict.fromkeys(partitions, self.position)

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        dies, self.dies = self.dies, ""
        if dies == "before commit":
            raise Killed
        if dies == "fenced":
            raise Superseded("fenced")
        self.written += outgoing
        self.position = positions[0]
        if dies == "after commit":
            raise Killed
        after_commit, self.after_commit = self.after_commit, lambda: None
        after_commit()

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        assert start >= self.begins, "the topic has deleted this"
        yield self.records[start:stop]

    def decisions(self) -> list[Decision]:
        return [decode(record.value, Decision) for record in self.written if record.topic == DECISIONS]


class HalfOfAmount:
    """A scorer that returns the probability 0.5 for amounts over 100, else 0."""

    def __init__(self) -> None:
        self.available = True
        self.shadowed = False
        self.reasons_above: list[float] = []

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        if not self.available:
            raise ScoringUnavailable("no answer within 1 s")
        high = rows[:, column("amount")] > 100
        self.reasons_above += reasons_above.tolist()
        shadow = Shadow(
            model_version="8",
            model_digest="another",
            margins=np.where(high, 2, -2).astype(np.float32),
            probabilities=np.where(high, 0.75, 0.25),
        )
        return Scores(
            model_version="7",
            model_digest="digest",
            margins=np.where(high, 0, -9).astype(np.float32),
            probabilities=np.where(high, 0.5, 0.0),
            reasons=[["AMOUNT"] if one else [] for one in high],
            shadow=shadow if self.shadowed else None,
        )


def payment(number: int, **fields: object) -> Transaction:
    ordinary = {
        "transaction_id": f"t-{number}",
        "card_id": f"card-{number % 3}",
        "merchant_id": "m",
        "occurred_at": EPOCH + timedelta(days=20_000, minutes=number),
        "amount_minor": 1_000,
        "currency": "EUR",
        "merchant_category": "5411",
        "channel": Channel.CHIP,
        "country": "DE",
    }
    return Transaction(**{**ordinary, **fields})  # type: ignore[arg-type]


def log_of(transactions: Sequence[Transaction]) -> MemoryLog:
    return MemoryLog([encode(t) for t in transactions], [t.card_id.encode() for t in transactions])


def worker(
    folder: Path,
    store: FeatureStore,
    scorer: HalfOfAmount | None = None,
    counted: CollectorRegistry | None = None,
    overlap_from: int = 1,
    tracer: Tracer | None = None,
    before_step: Callable[[str], None] | None = None,
) -> StreamWorker:
    engine = DecisionEngine(scorer or HalfOfAmount(), DecisionPolicy(), lambda: NOW_MS)
    history = ArchivedLog(folder / "archive", batch_rows=4)
    metrics = StreamMetrics(counted or CollectorRegistry())
    return StreamWorker(
        store,
        ReferenceTableStore(folder),
        engine,
        UNCHECKED,
        history,
        Observers(metrics, tracer=tracer, before_step=before_step),
        overlap_from=overlap_from,
    )


def replayed(transactions: Sequence[Transaction]) -> tuple[list[bytes], dict[str, bytes]]:
    """Features and states by a plain replay of the log."""
    cards, index = card_index([t.card_id for t in transactions])
    states = empty_states(len(cards))
    folded = fold(states, index, encode_rows(transactions), ReferenceTable.empty())
    return [row.tobytes() for row in folded.features], {
        card: state.tobytes() for card, state in zip(cards, states, strict=True)
    }


def recorded_features(log: MemoryLog) -> list[bytes]:
    return [np.array(d.features, np.float64).astype(np.float32).tobytes() for d in log.decisions()]
