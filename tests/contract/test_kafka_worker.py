"""What the stream worker needs of each Kafka client, on a real broker: membership, positions, transactions, threads.

Nearly all tests use the same slots, because a static member keeps its partitions for the session timeout.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Self

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka.errors import KafkaTimeoutError
from kafka.future import Future
from msgspec import structs

from adapters.kafka.confluent import worker as confluent_worker
from adapters.kafka.confluent.connection import client_settings
from adapters.kafka.consumer import LogReader
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import create_topics, end_offsets
from adapters.kafka.transactional_log import TransactionalLog
from adapters.runtime.kafka_connection import KafkaClient, KafkaConnection
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings
from cardwatch.errors import BrokerUnavailable, StoreLeads, Superseded
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DECISIONS, TRANSACTIONS
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import Supervisor

PARTITIONS = [0, 1]
SMALL = "small-batches"
"""A topic that accepts a thousand bytes at once."""
SECONDS = 60.0
"""Deadline of a state that comes within a second on an idle machine."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConnection]:
    """A broker of its own, because all workers are members of one group."""
    settings = Settings(home=tmp_path_factory.mktemp("kafka"))
    server = EmbeddedKafka(settings)
    with Supervisor(settings.home) as supervisor:
        supervisor.start(server.process_spec())
        create_topics(server.connection, partitions=len(PARTITIONS))
        admin = AdminClient(client_settings(server.connection))
        small = NewTopic(SMALL, 1, 1, config={"max.message.bytes": "1000"})
        admin.create_topics([small])[SMALL].result(SECONDS)
        yield server.connection


@pytest.fixture(scope="module", params=KafkaClient)
def broker(kafka: KafkaConnection, request: pytest.FixtureRequest) -> KafkaConnection:
    """The broker, reached with each client."""
    return structs.replace(kafka, client=request.param)


class Member:
    """A log whose callbacks are recorded. It begins at the end of the topic, or at what was committed since then."""

    def __init__(self, broker: KafkaConnection, slot: str = "slot-0") -> None:
        self.broker = broker
        self.owned: set[int] = set()
        self.revoked: list[int] = []
        self.assignments = 0
        self.on_revoked = lambda: None
        self.begin = end_offsets(broker, TRANSACTIONS)
        self.log = TransactionalLog(broker, slot, on_assigned=self._assigned, on_revoked=self._revoked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def _assigned(self, partitions: list[int]) -> dict[int, int]:
        self.owned |= set(partitions)
        self.assignments += 1
        committed = self.log.committed(partitions)
        return {partition: max(self.begin[partition], committed.get(partition, 0)) for partition in partitions}

    def _revoked(self, partitions: list[int]) -> None:
        self.on_revoked()
        self.owned -= set(partitions)
        self.revoked += partitions

    def joined(self) -> Self:
        """Poll until all partitions are assigned; no record is expected."""
        self.until(lambda: self.owned == set(PARTITIONS))
        return self

    def until(self, reached: Callable[[], bool], *others: Member) -> None:
        deadline = time.monotonic() + SECONDS
        while not reached():
            assert time.monotonic() < deadline
            for member in (self, *others):
                assert member.log.poll(0.05, limit=100) == {}

    def take(self, count: int, limit: int = 100) -> list[Record]:
        """Poll until this many records have come, and return them in the order of their values."""
        found: list[Record] = []
        deadline = time.monotonic() + SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, found
            polled = self.log.poll(0.2, limit=limit)
            assert sum(map(len, polled.values())) <= limit
            for records in polled.values():
                assert [record.offset for record in records] == sorted(record.offset for record in records)
                found += records
        return sorted(found, key=lambda record: int(record.value or b""))


def write(broker: KafkaConnection, *numbers: int) -> None:
    """Write transactions, whose values are numbers, to both partitions."""
    writer = LogWriter(broker)
    for number in numbers:
        writer.write(TRANSACTIONS, f"card-{number}", b"%d" % number)
    writer.flush()
    writer.close()


def decisions(broker: KafkaConnection, begin: dict[int, int], count: int = 0) -> list[int]:
    """The values of all committed decisions from `begin` to the end, sorted, when there are at least `count` of them.

    A commit returns when the coordinator has decided it; the markers in the partitions follow some ms later.
    """

    def committed() -> list[int]:
        ends, found = end_offsets(broker, DECISIONS), []
        with LogReader(broker, {(DECISIONS, partition): offset for partition, offset in begin.items()}) as reader:
            while any(reader.reached(DECISIONS, partition) < end for partition, end in ends.items()):
                assert time.monotonic() < deadline
                found += [int(record.value or b"") for record in reader.poll(0.2)]
        return sorted(found)

    deadline = time.monotonic() + SECONDS
    return poll(committed, until=lambda found: len(found) >= count, timeout_seconds=SECONDS)


def outgoing(records: list[Record]) -> list[Outgoing]:
    return [Outgoing(DECISIONS, record.partition, record.key or b"", record.value or b"") for record in records]


def positions(records: list[Record]) -> dict[int, int]:
    return {record.partition: record.offset + 1 for record in sorted(records, key=lambda record: record.offset)}


def test_a_commit_makes_decisions_and_positions_visible_together(broker: KafkaConnection) -> None:
    begin = end_offsets(broker, DECISIONS)
    with Member(broker) as member:
        member.joined()
        write(broker, *range(20))
        records = member.take(20)
        assert [record.value for record in records] == [b"%d" % number for number in range(20)]
        assert {record.topic for record in records} == {TRANSACTIONS}
        assert {record.key for record in records} == {b"card-%d" % number for number in range(20)}
        assert all(abs(record.timestamp_ms / 1_000 - time.time()) < 3_600 for record in records)  # noqa: TID251
        assert decisions(broker, begin) == []
        member.log.commit(outgoing(records), positions(records))
        assert decisions(broker, begin, 20) == list(range(20))
        member.until(lambda: member.log.committed(PARTITIONS) == end_offsets(broker, TRANSACTIONS))
    with Member(broker) as successor:
        successor.joined()
        write(broker, 20)
        assert [record.value for record in successor.take(1)] == [b"20"]


def test_batches_are_committed_on_another_thread_while_this_one_polls(broker: KafkaConnection) -> None:
    begin, total = end_offsets(broker, DECISIONS), 3_000
    with Member(broker) as member, ThreadPoolExecutor(1) as other:
        member.joined()
        write(broker, *range(total))
        found, deadline = 0, time.monotonic() + SECONDS
        commits = []
        while found < total:
            assert time.monotonic() < deadline
            for records in member.log.poll(0.2, limit=100).values():
                found += len(records)
                commits.append(other.submit(member.log.commit, outgoing(records), positions(records)))
        for commit in commits:
            commit.result(SECONDS)
        assert len(commits) >= total / 100
        member.until(lambda: member.log.committed(PARTITIONS) == end_offsets(broker, TRANSACTIONS))
    assert decisions(broker, begin, total) == list(range(total))


@pytest.mark.parametrize(
    ("topic", "value"),
    [(DECISIONS, bytes(2_000_000)), (SMALL, random.Random(1).randbytes(5_000))],
    ids=["client", "broker"],
)
def test_a_record_that_is_refused_aborts_all_of_its_transaction(
    broker: KafkaConnection, topic: str, value: bytes
) -> None:
    begin = end_offsets(broker, DECISIONS)
    with Member(broker) as member:
        member.joined()
        write(broker, 1)
        records = member.take(1)
        with pytest.raises(Superseded, match="the transaction was aborted: "):
            member.log.commit([*outgoing(records), Outgoing(topic, 0, b"", value)], positions(records))
        assert decisions(broker, begin) == []
        assert member.log.committed(PARTITIONS).get(records[0].partition, 0) <= records[0].offset
    with Member(broker) as successor:
        successor.begin = member.begin
        assert successor.take(1) == records
        successor.log.commit(outgoing(records), positions(records))
    assert decisions(broker, begin, 1) == [1]


def test_a_record_that_kafka_python_has_given_up_aborts_the_transaction(kafka: KafkaConnection) -> None:
    broker = structs.replace(kafka, client=KafkaClient.KAFKA_PYTHON)
    begin = end_offsets(broker, DECISIONS)
    with Member(broker) as member, pytest.MonkeyPatch.context() as patch:
        member.joined()
        write(broker, 1)
        records = member.take(1)
        producer = member.log._client._producer
        hand_over = producer._hand_over
        # The library fails the record, but not the transaction: its commit would succeed.
        given_up = Future().failure(KafkaTimeoutError("the time of a record is over"))
        patch.setattr(producer, "_hand_over", lambda outgoing: [*hand_over(outgoing), given_up])
        with pytest.raises(Superseded, match="the time of a record is over"):
            member.log.commit(outgoing(records), positions(records))
    assert decisions(broker, begin) == []


def test_a_successor_of_the_slot_fences_its_predecessor(broker: KafkaConnection) -> None:
    begin = end_offsets(broker, DECISIONS)
    with Member(broker) as zombie:
        zombie.joined()
        write(broker, 1)
        records = zombie.take(1)
        with Member(broker) as successor:
            successor.begin = zombie.begin
            with pytest.raises(Superseded, match="the transaction was aborted: "):
                zombie.log.commit(outgoing(records), positions(records))
            taken = successor.take(1)
            assert taken == records
            successor.log.commit(outgoing(taken), positions(taken))
    assert decisions(broker, begin, 1) == [1]


def test_a_worker_of_kafka_python_that_is_fenced_in_the_middle_of_a_commit_does_not_take_it_for_done(
    kafka: KafkaConnection,
) -> None:
    """The library then asks for a new epoch, and its commit of a transaction without partitions would succeed."""
    broker = structs.replace(kafka, client=KafkaClient.KAFKA_PYTHON)
    begin = end_offsets(broker, DECISIONS)
    with Member(broker) as zombie, pytest.MonkeyPatch.context() as patch:
        zombie.joined()
        write(broker, *range(2))
        records = zombie.take(2)
        producer = zombie.log._client._producer
        hand_over = producer._hand_over
        successors: list[Member] = []

        def take_over(outgoing: list[Outgoing]) -> list[Future]:
            first = hand_over(outgoing[:1])
            producer._producer.flush(SECONDS)
            successors.append(Member(broker))
            return [*first, *hand_over(outgoing[:1])]

        patch.setattr(producer, "_hand_over", take_over)
        with pytest.raises(Superseded):
            zombie.log.commit(outgoing(records), positions(records))
        assert decisions(broker, begin) == []
        [successor] = successors
        successor.begin = zombie.begin
        with successor:
            assert successor.take(2) == records
            try:
                successor.log.commit(outgoing(records), positions(records))
            except Superseded:  # the zombie's new epoch has fenced it; the worker starts again, as always
                assert decisions(broker, begin) == []
    with Member(broker) as last:
        last.begin = zombie.begin
        last.joined() if decisions(broker, begin) else last.log.commit(outgoing(last.take(2)), positions(records))
    assert decisions(broker, begin, 2) == [0, 1]


def test_a_paused_partition_is_silent_and_continues_after_the_last_record(broker: KafkaConnection) -> None:
    with Member(broker) as member:
        member.joined()
        write(broker, *range(200))
        first = member.take(1, limit=1)
        member.log.pause([0])
        in_one = end_offsets(broker, TRANSACTIONS)[1] - member.begin[1]
        others = member.take(in_one - sum(record.partition == 1 for record in first))
        assert {record.partition for record in others} == {1}
        assert member.log.poll(0.5, limit=100) == {}
        member.log.resume([0])
        rest = member.take(200 - len(first) - len(others))
        assert {record.partition for record in rest} == {0}
        assert sorted(int(record.value or b"") for record in [*first, *others, *rest]) == list(range(200))


def test_records_come_again_after_a_seek(broker: KafkaConnection) -> None:
    with Member(broker) as member:
        member.joined()
        write(broker, *range(50))
        records = member.take(50)
        member.log.seek(member.begin)
        assert member.take(50) == records


def test_the_end_is_known_without_asking_the_broker(broker: KafkaConnection) -> None:
    with Member(broker) as member:
        member.joined()
        write(broker, *range(50))
        member.take(50)
        member.until(lambda: {p: member.log.end(p) for p in PARTITIONS} == end_offsets(broker, TRANSACTIONS))
        begin = time.thread_time()
        for _ in range(1_000):
            member.log.end(0)
        assert time.thread_time() - begin < 0.5  # a request takes a millisecond and more of waiting, and 0.2 of work
        assert member.log.end(77) is None
        assert member.log.first(0) == 0


def test_a_range_of_the_log_is_read_again(broker: KafkaConnection) -> None:
    write(broker, *range(50))
    end = end_offsets(broker, TRANSACTIONS)[0]
    with Member(broker) as member:
        batches = list(member.log.read(0, end - 5, end - 1))
    assert [record.offset for batch in batches for record in batch] == [end - 5, end - 4, end - 3, end - 2]


def test_what_a_callback_raises_is_raised_by_poll(broker: KafkaConnection) -> None:
    def refuse(_partitions: list[int]) -> dict[int, int]:
        raise StoreLeads("the store belongs to another log")

    log = TransactionalLog(broker, "slot-0", on_assigned=refuse, on_revoked=lambda _: None)
    deadline = time.monotonic() + SECONDS
    with pytest.raises(StoreLeads, match="belongs to another log"):
        while time.monotonic() < deadline:
            log.poll(0.2, limit=1)
    log.close()


def test_partitions_move_between_workers_after_the_batch_in_flight_is_committed(broker: KafkaConnection) -> None:
    begin = end_offsets(broker, DECISIONS)
    with Member(broker) as first, ThreadPoolExecutor(1) as other:
        first.joined()
        write(broker, *range(20))
        in_flight = first.take(20)

        def settle() -> None:
            other.submit(first.log.commit, outgoing(in_flight), positions(in_flight)).result(SECONDS)
            first.on_revoked = lambda: None

        first.on_revoked = settle
        with Member(broker, "slot-1") as second:
            second.begin = first.begin
            first.until(lambda: len(first.owned) == len(second.owned) == 1, second)
            assert first.owned | second.owned == set(PARTITIONS)
            assert sorted(first.revoked) == PARTITIONS
            assert decisions(broker, begin, 20) == list(range(20))
            write(broker, *range(20, 40))
            ends = end_offsets(broker, TRANSACTIONS)
            for member in (first, second):
                [mine] = member.owned
                records = member.take(ends[mine] - member.log.committed([mine])[mine])
                assert {record.partition for record in records} == {mine}
                member.log.commit(outgoing(records), positions(records))
    assert decisions(broker, begin, 40) == list(range(40))


def test_a_worker_whose_last_batch_takes_longer_than_its_poll_joins_once(broker: KafkaConnection) -> None:
    with Member(broker) as first:
        first.joined()
        first.on_revoked = lambda: time.sleep(0.2)  # as a commit does
        with Member(broker, f"slot-of-{broker.client}") as second:  # a new member, so that the others join anew
            first.until(lambda: len(first.owned) == len(second.owned) == 1, second)
            assert second.assignments <= 2  # the second one where a join took longer than a heartbeat


def test_a_request_that_the_library_never_ends_aborts_the_batch_and_the_next_log_commits_it(
    kafka: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()

    class Stuck(Producer):  # type: ignore[misc]
        def send_offsets_to_transaction(self, *_: object) -> None:
            released.wait(SECONDS)

    begin = end_offsets(kafka, DECISIONS)
    with monkeypatch.context() as patch:
        patch.setattr(confluent_worker, "Producer", Stuck)
        patch.setattr(confluent_worker, "OFFSETS_SECONDS", 0.5)
        with Member(kafka) as stuck:
            stuck.joined()
            write(kafka, *range(5))
            records = stuck.take(5)
            before = time.monotonic()
            with pytest.raises(Superseded, match=r"coordinator did not answer within 0\.5 s"):
                stuck.log.commit(outgoing(records), positions(records))
            assert time.monotonic() - before < 20.0
    with Member(kafka) as successor:
        successor.begin = stuck.begin
        assert successor.take(5) == records
        successor.log.commit(outgoing(records), positions(records))
    released.set()
    assert decisions(kafka, begin, 5) == [0, 1, 2, 3, 4]


@pytest.mark.long  # starts brokers
@pytest.mark.parametrize("client", KafkaClient)
def test_a_broker_that_goes_away_is_told_and_a_new_log_continues_when_it_is_back(
    tmp_path: Path, client: KafkaClient
) -> None:
    server = EmbeddedKafka(Settings(home=tmp_path))
    broker = structs.replace(server.connection, client=client)
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(server.process_spec())
        create_topics(broker, partitions=len(PARTITIONS))
        member = Member(broker).joined()
        write(broker, *range(3))
        records = member.take(3)
        supervisor.kill("kafka")
        begin = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"no broker answers at .* any more"):
            while time.monotonic() - begin < SECONDS:
                member.log.poll(0.2, limit=100)
        with pytest.raises(Superseded):
            member.log.commit(outgoing(records), positions(records))
        member.log.close()
        assert time.monotonic() - begin < SECONDS
        supervisor.start(server.process_spec())
        with Member(broker) as successor:
            successor.begin = member.begin
            assert successor.take(3) == records
            successor.log.commit(outgoing(records), positions(records))
        assert decisions(broker, dict.fromkeys(PARTITIONS, 0), 3) == [0, 1, 2]
