"""The commit order, with crashes as data: the log is in memory, store and kernel are the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
import redis
from prometheus_client import CollectorRegistry

from adapters.archive.writer import ArchiveWriter, transaction_row
from adapters.feature_store.lmdb import LmdbStore
from adapters.feature_store.redis import RedisStore
from adapters.runtime.health import Health
from cardwatch.errors import GapLost, StoreLeads, Superseded
from cardwatch.events import Action, DeadLetter, Decision, Transaction, decode, encode
from cardwatch.features.definitions import FEATURES
from cardwatch.features.state import empty_states
from cardwatch.partitioning import UNCHECKED
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DEAD_LETTERS, TRANSACTIONS
from services.stream import loop
from services.stream.recovery import fold_records
from tests.unit.services.stream.memory_log import (
    HalfOfAmount,
    Killed,
    MemoryLog,
    log_of,
    payment,
    recorded_features,
    replayed,
    worker,
)


def run(folder: Path, log: MemoryLog, crashes: Mapping[int, str], batch: int = 3) -> dict[str, bytes]:
    """Work through the log; at batch k the process dies as told and a new one starts. The states at the end."""
    crashes = dict(crashes)
    for _ in range(len(log.records) + len(crashes) + 2):
        with LmdbStore(folder / "store") as store:
            stream = worker(folder, store)
            start = stream.assign_partitions(log, [0])[0]
            try:
                for begin, end in pairwise([*range(start, len(log.records), batch), len(log.records)]):
                    log.dies = crashes.pop(begin // batch, "")
                    stream.process_batch(log, {0: log.records[begin:end]})
                stream.settle()
            except (Killed, Superseded):
                continue
            return store.cards()
    raise AssertionError("the log was never finished")


@pytest.mark.parametrize(
    "crashes",
    [
        {},
        {0: "before commit"},
        {0: "after commit"},
        {2: "before commit"},
        {2: "after commit"},
        {1: "after commit", 2: "before commit", 4: "after commit"},
        {3: "fenced"},
    ],
    ids=str,
)
def test_whatever_dies_each_transaction_is_decided_once_with_the_features_of_a_replay(
    tmp_path: Path, crashes: dict[int, str]
) -> None:
    transactions = [payment(number) for number in range(16)]
    log = log_of(transactions)
    states = run(tmp_path, log, crashes)
    features, expected_states = replayed(transactions)
    decisions = log.decisions()
    assert [decision.offset for decision in decisions] == list(range(16))
    assert recorded_features(log) == features
    assert states == expected_states


def test_a_decision_records_its_inputs(tmp_path: Path) -> None:
    log = log_of([payment(0, amount_minor=50_000)])
    run(tmp_path, log, {})
    (decision,) = log.decisions()
    assert (
        decision.action is Action.DECLINE
    )  # 0.5 of 500.00: approving costs 250.00, a challenge 25.50, a decline 15.00
    assert decision.reasons == ["AMOUNT"]
    assert (decision.model_version, decision.margin, decision.probability) == ("7", 0.0, 0.5)
    assert (decision.sequence, decision.partition, decision.offset) == (0, 0, 0)
    assert decision.latency_ms == 5.0
    assert not decision.degraded


def decided_with(folder: Path, scorer: HalfOfAmount, *transactions: Transaction) -> list[Decision]:
    log = log_of(transactions)
    with LmdbStore(folder / "store") as store:
        stream = worker(folder, store, scorer)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records})
        stream.settle()
    return log.decisions()


def test_shadow_scores_are_recorded_and_do_not_change_the_decision(tmp_path: Path) -> None:
    scorer = HalfOfAmount()
    alone = decided_with(tmp_path / "alone", scorer, payment(0, amount_minor=50_000), payment(1))
    scorer.shadowed = True
    shadowed = decided_with(tmp_path / "shadowed", scorer, payment(0, amount_minor=50_000), payment(1))
    assert [(d.shadow_version, d.shadow_margin, d.shadow_probability) for d in alone] == [(None, None, None)] * 2
    assert [(d.shadow_version, d.shadow_margin, d.shadow_probability) for d in shadowed] == [
        ("8", 2.0, 0.75),
        ("8", -2.0, 0.25),
    ]
    assert [(d.action, d.probability, d.reasons) for d in shadowed] == [
        (d.action, d.probability, d.reasons) for d in alone
    ]


def test_reasons_are_requested_above_the_probability_at_which_a_payment_is_not_approved(
    tmp_path: Path,
) -> None:
    # No challenge is feasible in a shop. By the default costs declining is cheaper than approving from
    # p = (500 + 0.05 amount) / (1.05 amount + 500) on: 500.00 from 3,000 / 53,000, 10.00 from 550 / 1,550.
    scorer = HalfOfAmount()
    decided_with(tmp_path, scorer, payment(0, amount_minor=50_000), payment(1))
    assert scorer.reasons_above == pytest.approx([3_000 / 53_000, 550 / 1_550], rel=1e-8)


def test_without_a_model_the_rules_decide_and_say_so(tmp_path: Path) -> None:
    scorer = HalfOfAmount()
    scorer.available = False
    log = log_of([payment(0)])
    with LmdbStore(tmp_path / "store") as store:
        stream = worker(tmp_path, store, scorer)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records})
        stream.settle()
    (decision,) = log.decisions()
    assert decision.degraded
    assert decision.degraded_reason == "no answer within 1 s"
    assert (decision.margin, decision.probability, decision.model_version) == (None, None, None)


def test_a_repeat_gets_no_second_decision_and_is_counted(tmp_path: Path) -> None:
    log = log_of([payment(0), payment(0)])
    with LmdbStore(tmp_path / "store") as store:
        counted = CollectorRegistry()
        stream = worker(tmp_path, store, counted=counted)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records})
        stream.settle()
    assert len(log.decisions()) == 1
    assert counted.get_sample_value("cardwatch_stream_repeats_total") == 1
    assert log.position == 2


@pytest.mark.parametrize(
    ("key", "value", "field", "reason"),
    [
        (b"card-0", b"{", "", "truncated"),
        (b"card-0", b"", "", "empty, instead of a JSON object"),
        (b"card-0", b"\xff", "", "UTF-8|malformed"),
        (b"card-0", msgspec.json.encode({"transaction_id": "t"}), "", "missing required field `card_id`"),
        (b"other", encode(payment(0)), "$.card_id", "key is not its card_id"),
        (None, encode(payment(0)), "$.card_id", "key is not its card_id"),
        (b"4111111111111111", encode(payment(0, card_id="4111111111111111")), "$.card_id", "card number"),
    ],
)
def test_a_bad_record_becomes_a_dead_letter_with_its_bytes_and_stops_nothing(
    tmp_path: Path, key: bytes | None, value: bytes, field: str, reason: str
) -> None:
    log = MemoryLog([value, encode(payment(1))], [key, b"card-1"])  # type: ignore[list-item]
    run(tmp_path, log, {}, batch=2)
    (letter,) = [decode(record.value, DeadLetter) for record in log.written if record.topic == DEAD_LETTERS]
    assert (letter.value, letter.key, letter.offset, letter.field) == (value, key, 0, field)
    assert any(part in letter.reason.lower() or part in letter.reason for part in reason.split("|"))
    assert [decision.offset for decision in log.decisions()] == [1]


def test_a_store_that_is_ahead_of_the_log_is_refused(tmp_path: Path) -> None:
    log = log_of([payment(0)])
    log.position = 0
    with LmdbStore(tmp_path / "store") as store:
        store.apply(0, expected=0, position=5, card_ids=[], states=empty_states(0))
        with pytest.raises(StoreLeads, match="applied up to 5, but only 0 is committed"):
            worker(tmp_path, store).assign_partitions(log, [0])


def archive_up_to(folder: Path, transactions: Sequence[Transaction], position: int) -> None:
    """The archive of the log's beginning, written in two goes."""
    writer = ArchiveWriter(folder / "archive")
    rows = [transaction_row(transaction, 0, offset) for offset, transaction in enumerate(transactions)]
    for start, stop in pairwise([0, position // 2, position]):
        writer.write({TRANSACTIONS: rows[start:stop]}, {(TRANSACTIONS, 0): stop})
    writer.close()


@pytest.mark.parametrize("applied", [0, 5])
def test_records_deleted_from_the_topic_are_folded_from_the_archive(tmp_path: Path, applied: int) -> None:
    transactions = [payment(number, card_id="busy") for number in range(40)] + [payment(number) for number in range(9)]
    log = log_of(transactions)
    archive_up_to(tmp_path, transactions, 44)
    with LmdbStore(tmp_path / "store") as store:
        if applied:
            fold_records(store, UNCHECKED, 0, 0, log.records[:applied])
        log.position, log.begins = 46, 43
        stream = worker(tmp_path, store)
        assert stream.assign_partitions(log, [0]) == {0: 46}
        stream.process_batch(log, {0: log.records[46:]})
        stream.settle()
        assert store.cards() == replayed(transactions)[1]


def test_records_deleted_before_their_decision_are_folded_and_the_remaining_ones_decided(tmp_path: Path) -> None:
    transactions = [payment(number) for number in range(12)]
    log = log_of(transactions)
    archive_up_to(tmp_path, transactions, 8)
    log.position, log.begins = 4, 8
    with LmdbStore(tmp_path / "store") as store:
        for _ in range(2):  # a worker that dies before it commits leaves the store before the group's offset
            stream = worker(tmp_path, store)
            assert stream.assign_partitions(log, [0]) == {0: 8}
        stream.process_batch(log, {0: log.records[8:]})
        stream.settle()
        assert store.cards() == replayed(transactions)[1]
    assert [decision.offset for decision in log.decisions()] == [8, 9, 10, 11]


@pytest.mark.parametrize("archived", [0, 6])
def test_records_that_neither_topic_nor_archive_holds_are_an_error(tmp_path: Path, archived: int) -> None:
    transactions = [payment(number) for number in range(12)]
    log = log_of(transactions)
    log.position, log.begins = 10, 8
    if archived:
        archive_up_to(tmp_path, transactions, archived)
    with LmdbStore(tmp_path / "store") as store:
        message = rf"applied up to 0, the topic begins at 8, and the archive holds up to {archived}: restore"
        with pytest.raises(GapLost, match=message):
            worker(tmp_path, store).assign_partitions(log, [0])


def test_states_of_a_store_that_lost_its_newest_writes_are_not_decided_on(tmp_path: Path, redis_url: str) -> None:
    transactions = [payment(number) for number in range(9)]
    log = log_of(transactions)
    with redis.Redis.from_url(redis_url) as server, RedisStore(redis_url) as store:
        server.flushdb()
        stream = worker(tmp_path, store)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records[:6]})
        stream.settle()
        server.flushdb()
        with pytest.raises(Superseded, match=r"the store was at 6 and is at 0 now; it was restarted"):
            stream.process_batch(log, {0: log.records[6:]})
            stream.settle()
        assert len(log.decisions()) == 6
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records[6:]})
        stream.settle()
        features, states = replayed(transactions)
        assert {card: store.load([card]).tobytes() for card in states} == states
        assert recorded_features(log) == features


def test_after_an_outage_of_the_store_the_loop_restarts_and_no_decision_is_lost(
    tmp_path: Path, start_redis: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = [payment(number) for number in range(12)]
    log = log_of(transactions)
    durable = {"folder": tmp_path}
    url, process = start_redis("--appendonly", "yes", "--appendfsync", "always", **durable)
    stopping, starts = Event(), []

    class Following:
        """The stream's side of the in-memory log. The store is killed in a commit, and is back at the third start."""

        def __init__(self, *_: object, on_assigned: Callable[[list[int]], dict[int, int]], **__: object) -> None:
            starts.append(log.position)
            if len(starts) == 3:
                start_redis("--appendonly", "yes", **durable, port=int(url.rsplit(":", 1)[1]))
            self.take, self.taken = on_assigned, False

        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def poll(self, _seconds: float, *, limit: int) -> dict[int, list[Record]]:
            if not self.taken:
                self.at, self.taken = self.take([0])[0], True
            records = log.records[self.at : self.at + 4]
            self.at += 4
            if not records:
                stopping.set()
            return {0: records} if records else {}

        def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
            log.commit(outgoing, positions)
            if positions == {0: 8}:
                process.kill()
                process.wait(timeout=10)

        def end(self, partition: int) -> int | None:
            return log.end(partition)

        def close(self) -> None:
            pass

    monkeypatch.setattr(loop, "TransactionalLog", Following)
    monkeypatch.setattr(loop, "RETRY_SECONDS", 0.01)
    with RedisStore(url) as store:
        loop.run(worker(tmp_path, store), "", "slot", stopping, Health())
        states = replayed(transactions)[1]
        assert {card: store.load([card]).tobytes() for card in states} == states
    assert starts == [None, 8, 8]
    assert [decision.offset for decision in log.decisions()] == list(range(12))


def test_features_are_as_many_as_the_table_has(tmp_path: Path) -> None:
    log = log_of([payment(0)])
    run(tmp_path, log, {})
    assert len(log.decisions()[0].features) == len(FEATURES)
