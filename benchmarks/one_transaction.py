"""Cost of one transaction in a preview or a small batch: kernel, encoding, store."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
import redis
from numpy.typing import NDArray

from adapters.feature_store.lmdb import LmdbStore
from adapters.feature_store.redis import RedisStore
from benchmarks.harness import Metric, Metrics, each_in_turn, in_turn
from benchmarks.redis_server import redis_server
from benchmarks.transactions import random_columns, random_table, random_transactions
from cardwatch.events import Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import FeatureStore

CARDS: Final = 20_000
TIMES: Final = 20_000
BATCH: Final = 500
BATCHES: Final = 10
_ONE: Final = np.zeros(1, np.int64)


def measure() -> Metrics:
    """Microseconds of the kernel alone, with a store's read, and of a batch with read and write."""
    states, table = _grown_states(), random_table()
    cards = [f"card-{i:08d}" for i in range(CARDS)]
    questions = cycle(random_transactions(TIMES, CARDS, seed=2))
    columns, owners = random_columns(TIMES, CARDS, seed=2)
    columns["occurred_at_ms"] += 60 * 86_400_000
    turns = cycle(range(TIMES))
    with tempfile.TemporaryDirectory() as folder, LmdbStore(Path(folder)) as lmdb, redis_server() as url:
        lmdb.apply(0, expected=0, position=1, card_ids=cards, states=states)

        def kernel() -> object:
            i = next(turns)
            owner = owners[i]
            return fold(states[owner : owner + 1], _ONE, columns[i : i + 1], table)

        micros = each_in_turn(
            {
                "kernel": kernel,
                "encode": lambda: encode([next(questions)]),
                "lmdb": lambda: _ask(lmdb, next(questions), table),
            },
            times=TIMES,
        )
        metrics = {
            "fold_one": _spread(
                micros["kernel"], 50, "the kernel called for one transaction, another card in every call", "at most 5"
            ),
            "encode_one": _spread(
                micros["encode"], 50, "one struct of the log as a kernel row, in turn with the kernel", ""
            ),
            "ask_lmdb_p50": _spread(micros["lmdb"], 50, "encode, read from LMDB, fold", "at most 15"),
            "ask_lmdb_p99": _spread(micros["lmdb"], 99, "encode, read from LMDB, fold", "at most 40"),
            "batch_lmdb": _batch(lmdb),
        }
        if url is None:
            return metrics
        with RedisStore(url) as server:
            server.apply(0, expected=0, position=1, card_ids=cards, states=states)
            return metrics | _against_a_bare_round_trip(server, url, questions)


def _ask(store: FeatureStore, transaction: Transaction, table: ReferenceTable) -> FoldedRows:
    return fold(store.load([transaction.card_id]), _ONE, encode([transaction]), table)


def _spread(micros: NDArray[np.float64], percentile: int, how: str, goal: str) -> Metric:
    return Metric(value=float(np.percentile(micros, percentile)), unit="µs", how=how, goal=goal)


def _grown_states() -> NDArray[np.void]:
    """States with a history, so that nothing is quick because it is empty."""
    columns, owners = random_columns(CARDS * 30, CARDS)
    states = empty_states(CARDS)
    fold(states, owners, columns, random_table())
    return states


def _batch(store: LmdbStore) -> Metric:
    """Process 500 transactions of one partition as a stream worker does between two commits."""
    rounds = 12
    batches = cycle([random_transactions(BATCH, CARDS, seed=100 + i) for i in range(rounds * BATCHES)])
    table = random_table()
    position = store.applied(0)

    def run() -> None:
        nonlocal position
        for _ in range(BATCHES):
            transactions = next(batches)
            names, index = card_index([transaction.card_id for transaction in transactions])
            states = store.load(names)
            fold(states, index, encode(transactions), table)
            store.apply(0, expected=position, position=position + BATCH, card_ids=names, states=states)
            position += BATCH

    seconds = in_turn({"batch": run}, rounds=rounds - 1)["batch"]
    return Metric(
        value=statistics.median(seconds) / BATCH / BATCHES * 1e6,
        unit="µs per transaction",
        how=f"a batch of {BATCH}: encode, read from LMDB, fold, apply",
        goal="at most 15",
    )


def _against_a_bare_round_trip(store: RedisStore, url: str, questions: Iterator[Transaction]) -> Metrics:
    table = random_table()
    bare = redis.Redis.from_url(url)
    key = next(iter(bare.scan_iter(match="cardwatch:card:*", count=10)))
    micros = each_in_turn(
        {"bare": lambda: bare.get(key), "ask": lambda: _ask(store, next(questions), table)}, times=TIMES // 4
    )
    bare.close()
    return {
        "ask_redis": Metric(
            value=float(np.median(micros["ask"])),
            unit="µs",
            baseline=float(np.median(micros["bare"])),
            ratio=float(np.median(micros["ask"]) / np.median(micros["bare"])),
            how="encode, read from Redis on loopback, fold; over a bare GET of a state",
            goal="at most 1.5 times",
        )
    }
