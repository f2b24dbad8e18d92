"""What a young broker answers, and what we make of it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from adapters.kafka.confluent.connection import explain
from adapters.kafka.confluent.reader import committed_offsets
from adapters.kafka.offsets import with_coordinator
from adapters.kafka.progress import log_skipped
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable, InvalidRecord
from cardwatch.events import Label, decode
from cardwatch.records import Record
from cardwatch.topics import LABELS


class Answering:
    """A consumer that gives these answers one after the other, the last for ever."""

    def __init__(self, *answers: int | list[TopicPartition]) -> None:
        self._answers = list(answers)

    def committed(self, _places: list[TopicPartition], _timeout: float) -> list[TopicPartition]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return answer


def asking(consumer: Answering) -> dict[int, int]:
    return with_coordinator(
        lambda: committed_offsets(consumer, "transactions", [0, 1]),  # type: ignore[arg-type]
        "asking for committed offsets",
    )


@pytest.mark.parametrize("code", [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
def test_a_coordinator_that_is_not_there_yet_is_asked_again(code: int) -> None:
    offsets = [TopicPartition("transactions", 0, 7), TopicPartition("transactions", 1, -1001)]
    assert asking(Answering(code, code, offsets)) == {0: 7}


def test_another_error_is_ours_at_once() -> None:
    with pytest.raises(BrokerUnavailable, match="asking for committed offsets"):
        asking(Answering(KafkaError._TIMED_OUT))


class Reported:
    """An error as librdkafka reports it to the callback of a client."""

    def __init__(self, text: str) -> None:
        self._text = text

    def code(self) -> int:
        return int(KafkaError._RESOLVE)

    def str(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("text", "is_advertised"),
    [
        (
            "other.example:9092/1: Failed to resolve 'other.example:9092': no such name (after 10ms in",
            True,
        ),
        ("ssl://other.example:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in", True),
        ("given.example:9092/bootstrap: Failed to resolve 'given.example:9092': Name or service not known", False),
        ("given.example:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in", False),
    ],
)
def test_an_error_at_an_advertised_address_is_told_apart_from_one_at_the_given_address(
    text: str, is_advertised: bool
) -> None:
    cause = explain(Reported(text), KafkaConnection("given.example:9092"))  # type: ignore[arg-type]
    assert bool(cause and "advertised.listeners" in cause.text and "other.example:9092" in cause.text) is is_advertised


def test_the_line_about_a_record_that_is_passed_over_is_one_line_without_card_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    value = b'{"4111111111111111\\nERROR   root  forged": 1}'
    with pytest.raises(InvalidRecord) as refused:
        decode(value, Label)
    log_skipped(Record(LABELS, 1, 7, 0, None, value), refused.value)
    [line] = caplog.messages
    assert line == ("labels[1] 7 is passed over: Object contains unknown field `[card number]\\nERROR   root  forged`")
