"""Which letters are listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.records import dead_letters as letters
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.events import DeadLetter, encode
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS


def record(partition: int, offset: int, written_ms: int, reason: str = "why") -> Record:
    letter = DeadLetter(
        topic="transactions", partition=partition, offset=offset, key=None, value=None, field="", reason=reason
    )
    return Record(DEAD_LETTERS, partition, offset, written_ms, None, encode(letter))


def test_the_newest_letters_of_all_partitions_are_listed_by_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # In the order in which a reader may return them: one partition after the other.
    stored = [
        *[record(0, offset, 1_000 + 100 * offset) for offset in range(4)],
        Record(DEAD_LETTERS, 0, 4, 0, None, b"\x1b nonsense"),
        *[record(1, offset, 1_050 + 100 * offset, reason="other") for offset in range(4)],
    ]

    def read(*_arguments: object) -> Iterator[Record]:
        return iter(stored)

    monkeypatch.setattr(letters, "kept_part", lambda *_arguments: ({}, {}))
    monkeypatch.setattr(letters, "read_range", read)
    found = letters.newest_letters(KafkaConnection("nowhere"), 3, "")
    assert [(each.position.partition, each.position.offset) for each in found.newest] == [(1, 2), (0, 3), (1, 3)]
    assert found.total == 8
    assert letters.newest_letters(KafkaConnection("nowhere"), 3, "why").total == 4
    assert "dead-letters[0] 4 is no dead letter" in caplog.text


@pytest.mark.parametrize(
    ("partition", "offset", "source"),
    [
        (0, 10, "there is no such record: transactions[0] ends at 10"),
        (99, 0, "there is no such record: transactions[99] ends at 0"),
        (0, 2, "retention has deleted it from the topic: transactions[0] begins at 3"),
    ],
)
def test_a_cut_letter_of_a_record_that_is_not_there_has_no_original(
    partition: int, offset: int, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "kept_part", lambda *_arguments: ({0: 3}, {0: 10}))
    cut = DeadLetter(
        topic="transactions", partition=partition, offset=offset, key=None, value=b"v", field="", reason="why",
        value_bytes=100_000, value_sha256="0" * 64,
    )  # fmt: skip
    assert letters.read_original(KafkaConnection("nowhere"), cut) == (None, source)
