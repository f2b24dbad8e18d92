"""What the console reads again of the topics, and what not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, LABELS, PROGRESS
from services.console import follower
from services.console.follower import PAST_DECISIONS, TopicFollower

Place = tuple[str, int]
ENDS = {DECISIONS: {0: 9_000}, LABELS: {0: 70}, DEAD_LETTERS: {0: 3}}


class Log:
    """Stands for the readers of a broker: it has the positions at which reading began, and gives one record of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.starts: list[dict[Place, int]] = []
        self.closed = 0
        self.is_lost = False
        self.begins: dict[str, int] = {}
        monkeypatch.setattr(follower, "LogReader", self._reader)
        monkeypatch.setattr(follower, "OffsetReader", self._offsets)
        monkeypatch.setattr(follower, "end_offsets", lambda _broker, topic: ENDS[topic])

    def _reader(self, _broker: KafkaConnection, start: Mapping[Place, int]) -> Log:
        if self.is_lost:
            raise BrokerUnavailable("it does not answer")
        self.starts.append(dict(start))
        return self

    def _offsets(self, _broker: KafkaConnection, _group: str) -> Log:
        return self

    def poll(self, _timeout_seconds: float) -> list[Record]:
        return [Record(topic, partition, at, 0, None, b"") for (topic, partition), at in self.starts[-1].items()]

    def reached(self, topic: str, partition: int) -> int:
        return self.starts[-1][topic, partition]

    def begin(self, topic: str, _partition: int) -> int:
        return self.begins.get(topic, 0)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


FIRST = {(PROGRESS, 0): 0, (DECISIONS, 0): 9_000 - PAST_DECISIONS, (LABELS, 0): 70, (DEAD_LETTERS, 0): 3}


def test_it_begins_with_the_newest_decisions_and_the_whole_progress(log: Log) -> None:
    with TopicFollower(KafkaConnection("x")) as following:
        assert following.reads_past()
    assert log.starts == [FIRST]


def test_after_the_loss_of_the_broker_it_reads_nothing_twice_and_leaves_nothing_out(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = TopicFollower(KafkaConnection("x"))
    with following:
        following.poll(0.0)
    monkeypatch.setitem(ENDS, LABELS, {0: 75})  # five labels came before the console was connected again
    with following:
        pass
    assert log.starts == [FIRST, {place: position + 1 for place, position in FIRST.items()}]


def test_a_partition_without_records_so_far_is_read_from_where_it_was(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = TopicFollower(KafkaConnection("x"))
    with following:
        pass
    monkeypatch.setitem(ENDS, LABELS, {0: 75})
    with following:
        pass
    assert log.starts[1] == FIRST


def test_a_connection_that_is_half_open_is_closed(log: Log) -> None:
    log.is_lost = True
    with pytest.raises(BrokerUnavailable), TopicFollower(KafkaConnection("x")):
        pass
    assert log.closed == 1


def test_what_retention_has_deleted_is_not_asked_for(log: Log) -> None:
    log.begins = {PROGRESS: 4, DECISIONS: 8_990}
    with TopicFollower(KafkaConnection("x")):
        pass
    assert log.starts == [{**FIRST, (PROGRESS, 0): 4, (DECISIONS, 0): 8_990}]
