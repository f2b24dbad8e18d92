"""The Kafka client that a connection names. It is imported when it is first used, and the other one never."""

from __future__ import annotations

from msgspec import structs

from adapters.kafka.port import ClientLibrary
from adapters.runtime.kafka_connection import KafkaClient, KafkaConnection


def library_of(broker: KafkaConnection) -> ClientLibrary:
    """Return the client with which `broker` is reached."""
    if broker.client is KafkaClient.KAFKA_PYTHON:
        from adapters.kafka.pure_python.library import PurePythonLibrary  # noqa: PLC0415 (only the chosen one)

        return PurePythonLibrary()
    from adapters.kafka.confluent.library import ConfluentLibrary  # noqa: PLC0415 (only the chosen one)

    return ConfluentLibrary()


def other_client(broker: KafkaConnection) -> KafkaConnection:
    """Return the same connection with the other client: for a witness that shares no code with what it counts."""
    [other] = [client for client in KafkaClient if client is not broker.client]
    return structs.replace(broker, client=other)
