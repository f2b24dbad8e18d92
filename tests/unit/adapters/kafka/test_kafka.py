"""What a young broker answers, and what we make of it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from adapters.kafka.offsets import committed_offsets
from cardwatch.errors import BrokerUnavailable


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
    return committed_offsets(consumer, "transactions", [0, 1])  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
def test_a_coordinator_that_is_not_there_yet_is_asked_again(code: int) -> None:
    offsets = [TopicPartition("transactions", 0, 7), TopicPartition("transactions", 1, -1001)]
    assert asking(Answering(code, code, offsets)) == {0: 7}


def test_another_error_is_ours_at_once() -> None:
    with pytest.raises(BrokerUnavailable, match="asking for committed offsets"):
        asking(Answering(KafkaError._TIMED_OUT))
