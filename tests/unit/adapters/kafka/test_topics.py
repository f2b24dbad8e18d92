"""Answers of a cluster of several brokers while not all of them know the same, or some are away."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import closing

import pytest

from adapters.kafka import topics
from adapters.kafka.port import Failure, RequestFailed
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from cardwatch.errors import Misconfigured

BROKER = KafkaConnection("nowhere:9092")


class Administration:
    """Gives these limits one after the other, the last for ever, and these addresses of brokers."""

    def __init__(self, *limits: int | RequestFailed, brokers: Sequence[tuple[str, int]] = ()) -> None:
        self._limits, self._brokers, self.asked = list(limits), list(brokers), 0

    def batch_limits(self, names: Sequence[str]) -> dict[str, int | RequestFailed]:
        self.asked += 1
        return dict.fromkeys(names, self._limits.pop(0) if len(self._limits) > 1 else self._limits[0])

    def brokers(self, _timeout_seconds: float) -> list[tuple[str, int]]:
        return self._brokers

    def close(self) -> None:
        """Do nothing."""


UNKNOWN = RequestFailed("unknown topic", Failure.UNKNOWN_TOPIC)


def test_a_broker_that_has_not_heard_of_a_new_topic_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    client = Administration(UNKNOWN, UNKNOWN, 1_048_588)
    topics._require_large_batches(client, BROKER, ["labels"])  # type: ignore[arg-type]
    assert (client.asked, caplog.messages) == (3, [])
    with pytest.raises(Misconfigured, match=r"topic labels .* 10 bytes"):
        topics._require_large_batches(Administration(UNKNOWN, 10), BROKER, ["labels"])  # type: ignore[arg-type]


def test_limits_that_may_not_be_asked_for_are_no_reason_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    client = Administration(RequestFailed("not allowed", Failure.FORBIDDEN))
    topics._require_large_batches(client, BROKER, ["labels"])  # type: ignore[arg-type]
    assert client.asked == 1
    assert "the limits of topic labels at nowhere:9092 are not known: not allowed" in caplog.text


def test_brokers_that_accept_no_connection_are_named_whether_given_or_advertised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, advertised = free_ports(2)
    with socket.create_server((LOOPBACK, 0)) as running:
        port = running.getsockname()[1]
        client = Administration(0, brokers=[(LOOPBACK, port), (LOOPBACK, advertised)])
        monkeypatch.setattr(topics, "_client", lambda _broker: closing(client))
        connection = KafkaConnection(f"{LOOPBACK}:{port},{LOOPBACK}:{given}")
        assert topics.lost_brokers(connection) == (
            f"2 of 3 brokers accept no connection: {LOOPBACK}:{given} (connection refused), "
            f"{LOOPBACK}:{advertised} (connection refused)"
        )
        assert topics.lost_brokers(KafkaConnection(f"{LOOPBACK}:{port}")).startswith("1 of 2 brokers")
        client._brokers.pop()
        assert topics.lost_brokers(KafkaConnection(f"{LOOPBACK}:{port}")) == ""
