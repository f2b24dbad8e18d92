"""Metrics and log lines of the stream worker; the log is in memory, store and kernel are real."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from adapters.archive.archived_log import ArchivedLog
from adapters.feature_store.lmdb import LmdbStore
from adapters.runtime.health import Health
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide import DegradationCause, DegradedReason
from cardwatch.errors import (
    BrokerUnavailable,
    CardwatchError,
    CorruptTable,
    NoModelServed,
    SchemaMismatch,
    ScoringUnavailable,
    StoreRefused,
    StoreUnavailable,
    Superseded,
)
from cardwatch.events import Decision, Transaction, decode, encode
from cardwatch.features.definitions import column
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.partitioning import Partitioner, Partitioning
from cardwatch.ports import Scores, StoreSize
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DECISIONS, TRANSACTIONS
from services.stream import loop
from services.stream.decision_engine import DecidedBatches, DecisionEngine
from services.stream.decision_log import MAX_CHARACTERS, DecisionLog, sanitize
from services.stream.metrics import StreamMetrics
from services.stream.worker import Observers, StreamWorker
from tests.unit.services.stream import memory_log

NOW_MS = 1_800_000_000_000.0


def payment(number: int, **fields: Any) -> Transaction:
    """A payment of 10.00 with a card of its own, which is approved, if nothing else is said."""
    return memory_log.payment(number, **{"card_id": f"card-{number}", **fields})


class MemoryLog:
    """Partition 0 of a log whose records have waited for 40 ms. `fails`: what the next commit comes to."""

    def __init__(self, *written: Transaction | bytes) -> None:
        pairs = [(t.card_id.encode(), encode(t)) if isinstance(t, Transaction) else (b"card", t) for t in written]
        self.records = [Record(TRANSACTIONS, 0, n, int(NOW_MS) - 40, *pair) for n, pair in enumerate(pairs)]
        self.position: int | None = None
        self.known_end: int | None = None
        self.written: list[Outgoing] = []
        self.fails: CardwatchError | None = None

    def first(self, partition: int) -> int:
        return 0

    def end(self, partition: int) -> int | None:
        return self.known_end

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {} if self.position is None else dict.fromkeys(partitions, self.position)

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        if self.fails is not None:
            raise self.fails
        self.written += outgoing
        self.position = positions[0]

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        for begin in range(start, stop, 4):
            yield self.records[begin : min(begin + 4, stop)]

    def decisions(self) -> list[Decision]:
        return [decode(record.value, Decision) for record in self.written if record.topic == DECISIONS]


class Scorer:
    """Half a fraud for amounts over 100.00, none for others; or no answer at all."""

    def __init__(self) -> None:
        self.fails: CardwatchError | None = None
        self.asked_about: list[str] = []

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        if self.fails is not None:
            raise self.fails
        assert len(transaction_ids) == len(rows)
        self.asked_about += transaction_ids
        high = rows[:, column("amount")] > 100
        return Scores(
            model_version="7",
            model_digest="digest",
            margins=np.where(high, 0, -9).astype(np.float32),
            probabilities=np.where(high, 0.5, 0.0),
            reasons=[["AMOUNT"] if one else [] for one in high],
        )


class Tables:
    """No table was ever made; or it is damaged."""

    def __init__(self) -> None:
        self.is_damaged = False

    def newest(self, _at: object) -> ReferenceTable:
        if self.is_damaged:
            raise CorruptTable("the table's file is damaged")
        return ReferenceTable.empty()


class Desk:
    """A worker with its adapters, and a clock that tests set."""

    def __init__(self, folder: Path, store: LmdbStore) -> None:
        self.store, self.scorer, self.tables = store, Scorer(), Tables()
        self.seconds = 100.0
        self.registry = CollectorRegistry()
        self.metrics = StreamMetrics(self.registry, now_seconds=lambda: self.seconds)
        self.unapplied: list[float | None] = []
        self.worker = StreamWorker(
            store,
            self.tables,
            DecisionEngine(self.scorer, DecisionPolicy(), lambda: NOW_MS),
            Partitioning(Partitioner.UNCHECKED, 4),
            ArchivedLog(folder / "archive"),
            Observers(self.metrics, self._note_unapplied),
        )

    def _note_unapplied(self) -> None:
        self.unapplied.append(self.value("stream_unapplied_records", partition="0"))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"cardwatch_{name}", labels)

    def labelled(self, name: str) -> dict[tuple[str, ...], float]:
        """The values that are not 0, by the labels' values."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"cardwatch_{name}" and sample.value
        }

    def decide(self, *written: Transaction | bytes) -> MemoryLog:
        log = MemoryLog(*written)
        self.worker.assign_partitions(log, [0])
        self.process(log)
        return log

    def process(self, log: MemoryLog) -> None:
        self.worker.process_batch(log, {0: log.records})
        self.worker.settle()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as open_things:
        yield Desk(tmp_path, open_things.enter_context(LmdbStore(tmp_path / "store")))


# Counters


def test_committed_decisions_are_counted(desk: Desk) -> None:
    # 0.5 of 500.00: approving costs 250.00, a challenge 25.50, a decline 15.00.
    desk.decide(
        payment(0),
        payment(1, amount_minor=2_000),
        payment(2, amount_minor=50_000),
        payment(3, amount_minor=300, currency="SEK"),
        payment(0),
        b"no transaction",
    )
    assert desk.labelled("stream_decisions_total") == {("approve", "false"): 3, ("decline", "false"): 1}
    assert desk.labelled("stream_amount_minor_total") == {
        ("approve", "EUR"): 3_000,
        ("approve", "SEK"): 300,
        ("decline", "EUR"): 50_000,
    }
    assert desk.value("stream_repeats_total") == 1
    assert desk.value("stream_dead_letters_total") == 1
    assert desk.value("stream_batch_transactions_count") == 1
    assert desk.value("stream_batch_transactions_sum") == 5
    assert desk.value("stream_latency_seconds_sum") == pytest.approx(4 * 0.040)
    assert (
        desk.value("stream_latency_seconds_bucket", le="0.025"),
        desk.value("stream_latency_seconds_bucket", le="0.05"),
    ) == (0, 4)
    assert desk.labelled("stream_step_seconds_count") == {
        (step,): 1 for step in ("fold", "score", "policy", "wait", "commit", "apply")
    }
    assert desk.labelled("stream_degraded_total") == {}


def test_an_aborted_batch_is_not_counted_until_it_is_committed(desk: Desk) -> None:
    log = MemoryLog(payment(0), b"no transaction", payment(0))
    log.fails = Superseded("fenced")
    desk.worker.assign_partitions(log, [0])
    with pytest.raises(Superseded):
        desk.process(log)
    names = ("decisions_total", "amount_minor_total", "repeats_total", "dead_letters_total")
    counted = [desk.labelled(f"stream_{name}") for name in (*names, "latency_seconds_count", "batch_transactions_sum")]
    assert counted == [{}] * 6
    log.fails = None
    desk.worker.assign_partitions(log, [0])
    desk.process(log)
    assert desk.labelled("stream_decisions_total") == {("approve", "false"): 1}
    assert desk.value("stream_dead_letters_total") == 1


def test_committed_decisions_are_counted_and_logged_although_the_store_is_unavailable(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(desk.store, "apply", away)
    caplog.set_level(logging.INFO)
    with pytest.raises(StoreUnavailable):
        desk.decide(payment(0, amount_minor=50_000))
    assert desk.labelled("stream_decisions_total") == {("decline", "false"): 1}
    assert [vars(line).get("transaction_id") for line in caplog.records] == ["t-0"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Superseded("fenced"), "superseded"),
        (BrokerUnavailable("no broker"), "broker"),
        (StoreUnavailable("no store"), "store"),
    ],
)
def test_a_restart_is_counted_with_its_cause(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: CardwatchError, cause: str
) -> None:
    stopping = Event()

    class Failing(MemoryLog):
        """Fails when it is asked, with a partition taken; the second one is the last."""

        def __init__(self, *_: object, on_assigned: Callable[[list[int]], dict[int, int]], **__: object) -> None:
            super().__init__()
            self.take = on_assigned

        def poll(self, _seconds: float, *, limit: int) -> dict[int, list[Record]]:
            self.take([0])
            assert desk.value("stream_partitions") == 1
            if desk.labelled("stream_restarts_total"):
                stopping.set()
                return {}
            raise error

        def close(self) -> None:
            pass

    monkeypatch.setattr(loop, "TransactionalLog", Failing)
    monkeypatch.setattr(loop, "RETRY_SECONDS", 0.0)
    loop.run(desk.worker, "", "slot", stopping, Health(), desk.metrics.count_restart)
    assert desk.labelled("stream_restarts_total") == {(cause,): 1}
    assert desk.value("stream_partitions") == 0
    assert desk.value("stream_unapplied_records", partition="0") is None


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ScoringUnavailable("no answer within 1 s"), "scoring"),
        (NoModelServed("no champion: train one"), "no_champion"),
        (SchemaMismatch("the rows have another schema"), "model"),
        (CorruptTable("the table's file is damaged"), "table"),
    ],
)
def test_the_cause_of_degraded_decisions_is_counted_and_the_reason_recorded(
    desk: Desk, error: CardwatchError, cause: str
) -> None:
    desk.tables.is_damaged = isinstance(error, CorruptTable)
    desk.scorer.fails = None if desk.tables.is_damaged else error
    log = desk.decide(payment(0), payment(1))
    assert desk.labelled("stream_degraded_total") == {(cause,): 2}
    assert desk.labelled("stream_decisions_total") == {("approve", "true"): 2}
    assert [decision.degraded_reason for decision in log.decisions()] == [str(error)] * 2


def test_counters_are_exposed_as_zero_before_the_first_event(desk: Desk) -> None:
    for name, labels in (
        ("decisions", {"action": "decline", "degraded": "true"}),
        ("degraded", {"cause": "no_champion"}),
        ("restarts", {"cause": "broker"}),
    ):
        assert desk.value(f"stream_{name}_total", **labels) == 0


# Gauges


def test_the_lag_is_the_distance_to_the_end_of_the_log_and_is_removed_with_the_partition(desk: Desk) -> None:
    log = desk.decide(payment(0), payment(1))
    desk.worker.update_gauges(log)
    assert desk.value("stream_lag_records", partition="0") is None  # the end is not known yet
    log.known_end = 7
    desk.worker.update_gauges(log)
    assert desk.value("stream_lag_records", partition="0") == 5
    assert desk.value("stream_partitions") == 1
    desk.worker.revoke_partitions([0, 3])
    desk.worker.update_gauges(log)
    assert desk.labelled("stream_lag_records") == {}
    assert desk.value("stream_partitions") == 0


def test_unapplied_records_are_exposed_during_the_recovery(desk: Desk) -> None:
    log = MemoryLog(*map(payment, range(10)))
    log.position = 10
    desk.worker.assign_partitions(log, [0])
    assert desk.unapplied == [10, 6, 2, 0]
    assert desk.value("stream_unapplied_records", partition="0") == 0
    assert desk.labelled("stream_decisions_total") == {}  # they were decided before


def test_a_worker_that_fails_during_an_assignment_owns_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog(payment(0))
    log.position = 1

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(desk.store, "apply", away)
    with pytest.raises(StoreUnavailable):
        desk.worker.assign_partitions(log, [0])
    assert desk.value("stream_unapplied_records", partition="0") == 1
    desk.worker.revoke_all_partitions()
    assert desk.value("stream_unapplied_records", partition="0") is None


def test_a_worker_without_partitions_waits(desk: Desk) -> None:
    """The group gives none to a worker more than there are partitions."""
    assert desk.worker.assign_partitions(MemoryLog(payment(0)), []) == {}
    assert desk.value("stream_partitions") == 0


def test_polled_records_of_revoked_partitions_are_ignored(desk: Desk) -> None:
    log = MemoryLog(payment(0))
    desk.process(log)
    assert (log.written, log.position) == ([], None)
    assert desk.value("stream_batch_transactions_count") == 0


class SizedStore:
    """A store that counts the queries for its size."""

    def __init__(self) -> None:
        self.says: StoreSize | CardwatchError = StoreSize(3, 4_096)
        self.asked = 0

    def size(self) -> StoreSize:
        self.asked += 1
        if isinstance(self.says, CardwatchError):
            raise self.says
        return self.says


def test_the_size_of_the_store_is_queried_every_ten_seconds(desk: Desk) -> None:
    store = SizedStore()
    assert math.isnan(desk.value("store_cards") or 0)
    for desk.seconds, asked in ((100.0, 1), (109.9, 1), (110.0, 2)):
        desk.metrics.update_store_size(store)
        assert store.asked == asked
    assert (desk.value("store_cards"), desk.value("store_bytes")) == (3, 4_096)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreRefused("INFO is not allowed")])
def test_a_failed_size_query_leaves_the_gauges_unchanged(desk: Desk, error: CardwatchError) -> None:
    store = SizedStore()
    desk.metrics.update_store_size(store)
    store.says, desk.seconds = error, 200.0
    desk.metrics.update_store_size(store)
    assert (store.asked, desk.value("store_cards")) == (2, 3)


# Log lines


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str | None]]:
    return [(line.levelname, line.getMessage(), vars(line).get("transaction_id")) for line in caplog.records]


PAYMENTS = (payment(0), payment(1, amount_minor=50_000), b"{}")


def test_alerts_and_dead_letters_are_logged_with_id_and_position(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk.decide(*PAYMENTS)
    assert lines(caplog) == [
        ("INFO", "transactions[0] 2 is a dead letter: Object missing required field `transaction_id`", None),
        ("INFO", "transactions[0] 1: decline, probability 0.5000, version 7", "t-1"),
    ]


def test_every_decision_is_logged_at_debug(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="services")
    desk.decide(*PAYMENTS)
    assert lines(caplog)[-2:] == [
        ("DEBUG", "transactions[0] 0: approve, probability 0.0000, version 7", "t-0"),
        ("INFO", "transactions[0] 1: decline, probability 0.5000, version 7", "t-1"),
    ]


@pytest.mark.parametrize(("level", "ids"), [(logging.INFO, []), (logging.DEBUG, ["t-0", "t-1"])])
def test_decisions_of_an_outage_are_logged_in_one_line_and_one_line_each_at_debug(
    desk: Desk, caplog: pytest.LogCaptureFixture, level: int, ids: list[str]
) -> None:
    desk.scorer.fails = ScoringUnavailable("no answer within 1 s")
    caplog.set_level(level, logger="services")
    desk.decide(*PAYMENTS[:2])
    told = lines(caplog)
    assert told[0] == ("WARNING", "the rules have decided 2 transactions: no answer within 1 s", None)
    assert [transaction_id for _, _, transaction_id in told[1:]] == ids
    assert all(level_name == "DEBUG" and "by the rules" in text for level_name, text, _ in told[1:])


def test_a_long_outage_is_logged_every_ten_seconds_with_its_decisions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = DegradedReason(DegradationCause.SCORING, "no answer")
    stale = DegradedReason(DegradationCause.TABLE, "the table is old")
    told = {
        100.0: ({away: 1}, ["1 transactions: no answer"]),
        100.1: ({away: 2}, []),
        105.0: ({}, []),
        109.9: ({away: 3}, []),
        110.0: ({away: 4}, ["9 transactions: no answer"]),
        110.1: ({stale: 5, away: 6}, ["5 transactions: the table is old"]),
        110.2: ({away: 7}, []),
        120.0: ({}, ["13 transactions: it is over now"]),
        120.1: ({}, []),
        120.2: ({away: 8}, ["8 transactions: no answer"]),
    }
    decision_log = DecisionLog(lambda: seconds)
    for seconds, (by_rules, expected) in told.items():  # noqa: B007 (the clock reads it)
        caplog.clear()
        decision_log.log_committed([], DecidedBatches([], Counter(by_rules)))
        assert [text for _, text, _ in lines(caplog)] == [f"the rules have decided {text}" for text in expected]


def test_an_aborted_batch_is_not_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="services")
    log = MemoryLog(*PAYMENTS)
    log.fails = Superseded("fenced")
    desk.worker.assign_partitions(log, [0])
    with pytest.raises(Superseded):
        desk.process(log)
    assert lines(caplog) == []


def test_the_scorer_gets_the_transaction_ids_of_its_rows(desk: Desk) -> None:
    desk.decide(payment(0), b"no transaction", payment(1), payment(0))
    assert desk.scorer.asked_about == ["t-0", "t-1"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("Expected `str`, got `int`", "Expected `str`, got `int`"),
        ("Invalid enum value '4111 1111-11111111'", "Invalid enum value '(a number)'"),
        ("unknown field `a\nERROR forged`", r"unknown field `a\nERROR forged`"),
        ("x" * 500, "x" * MAX_CHARACTERS + "..."),
    ],
)
def test_reasons_of_dead_letters_are_sanitized_in_the_log(reason: str, shown: str) -> None:
    assert sanitize(reason) == shown
