"""The Kafka client that a connection names. It is imported when it is first used, and the other one never."""

from __future__ import annotations

from adapters.kafka.port import ClientLibrary
from adapters.runtime.kafka_connection import KafkaConnection


def library_of(broker: KafkaConnection) -> ClientLibrary:
    """Return the client with which `broker` is reached."""
    from adapters.kafka.confluent.library import ConfluentLibrary  # noqa: PLC0415 (only the chosen client is imported)

    return ConfluentLibrary()
