"""The stream function on a batch, without the endpoint, compared with the bare writes to DynamoDB.

DynamoDB is moto in another process. It takes most of the time, some milliseconds for each item, so the processor time
of the function is measured as well.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.dynamodb import create_table
from adapters.feature_store.dynamodb_outbox import CardUpdate, DynamoDbOutbox, OutboxBatch, OutboxCard
from adapters.runtime.ports import free_ports
from benchmarks.harness import Metric, Metrics, compared
from benchmarks.transactions import random_transactions
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import DeadLetter, encode
from cardwatch.features.state import STATE
from cardwatch.ports import Scores
from infra.local_stack.supervisor import Supervisor
from infra.moto.server import process_spec, url
from services.stream.aws.embedded_metrics import InvocationMetrics
from services.stream.aws.event_records import ShardRecord
from services.stream.aws.worker import ShardWorker
from services.stream.decision_engine import DecisionEngine
from services.stream.decision_log import DecisionLog

BATCH: Final = 100
CARDS: Final = 20_000
ROUNDS: Final = 20
_DECISION_BYTES: Final = 2_500


class _NoWork:
    """Scorer and delivery that take no time."""

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        n = len(rows)
        margins, probabilities = np.full(n, -4, np.float32), np.full(n, 0.01)
        return Scores(
            model_version="1", model_digest="", margins=margins, probabilities=probabilities, reasons=[[]] * n
        )

    def decisions(self, batch: str, lines: Sequence[bytes]) -> None:
        """Deliver nothing."""

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Deliver nothing."""


def measure() -> Metrics:
    """Return the elapsed and the processor time of a call with a batch, alternating with the bare writes."""
    transactions = random_transactions(BATCH * (ROUNDS + 2), CARDS, seed=4)
    records = [
        ShardRecord(position, transaction.card_id.encode(), encode(transaction), 0)
        for position, transaction in enumerate(transactions)
    ]
    seconds: dict[str, list[float]] = {"call": [], "writes": [], "processor": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        _dynamodb(Path(folder)) as table,
        closing(DynamoDbOutbox(table)) as cards,
    ):
        no_work, bare = _NoWork(), count()
        engine = DecisionEngine(no_work, DecisionPolicy(), lambda: 0.0)
        tables = ReferenceTableStore(Path(folder) / "tables")
        worker = ShardWorker(cards, tables, engine, no_work, InvocationMetrics(DecisionLog()))
        for round_ in range(ROUNDS + 2):
            batch = records[round_ * BATCH : (round_ + 1) * BATCH]
            begin, processor_begin = time.perf_counter(), time.process_time()
            worker.process(0, batch)
            elapsed, processor = time.perf_counter() - begin, time.process_time() - processor_begin
            begin = time.perf_counter()
            cards.write(OutboxBatch(1, 0, 0, []), [_bare_write(next(bare)) for _ in {each.key for each in batch}])
            if round_ > 1:
                seconds["call"].append(elapsed)
                seconds["processor"].append(processor)
                seconds["writes"].append(time.perf_counter() - begin)
    return {
        "function_batch": compared(
            seconds["call"],
            seconds["writes"],
            unit="ms",
            how="the stream function, a batch of 100, moto's DynamoDB, no endpoint, over the bare writes of its cards",
            goal="at most 300",
            scale=1e3,
        ),
        "function_batch_processor": Metric(
            value=statistics.median(seconds["processor"]) * 1e3,
            unit="ms",
            how="the same, processor time of the function alone",
        ),
    }


def _bare_write(number: int) -> CardUpdate:
    state = np.zeros(1, STATE).tobytes()
    return CardUpdate(f"bare-{number}", state, OutboxCard(False, {}, None, []), number, [b"x" * _DECISION_BYTES])


@contextmanager
def _dynamodb(home: Path) -> Iterator[str]:
    """Yield the URL of a table on moto, whose log is in `home`, and set credentials if there are none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(name, "testing")  # noqa: TID251 (moto accepts any)
    [port] = free_ports(1)
    table = f"dynamodb://bench?region=eu-central-1&endpoint={url(port)}"
    with Supervisor(home) as supervisor:
        supervisor.start(process_spec(port, home))
        create_table(table)
        yield table
