"""Consumer settings, records and errors that all clients of the broker share. All consumers read committed records."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, Message

from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured, Superseded
from cardwatch.records import Record

REQUEST_SECONDS: Final = 10.0
"""Timeout of a request to the broker."""


_FORBIDDEN: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)


def consumer_settings(broker: KafkaConnection, group: str) -> dict[str, Any]:
    """Return the settings of a consumer that reads committed records and commits offsets explicitly."""
    return {
        **broker.client_settings(),
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "log_level": 0,
    }


def to_record(message: Message) -> Record:
    """Return a message as a `Record`."""
    kind, timestamp_ms = message.timestamp()
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        message.key(),
        message.value(),
    )


def is_transient(error: KafkaError) -> bool:
    """Whether a consumer recovers from the error by itself."""
    return bool(error.retriable()) or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)


def broker_error(error: KafkaException, doing: str) -> CardwatchError:
    """Return the Cardwatch error for an error of Kafka: `Superseded`, `Misconfigured` or `BrokerUnavailable`."""
    cause: KafkaError = error.args[0]
    if cause.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
        return Superseded(f"{doing}: another worker has taken over ({cause.str()})")
    if cause.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return Misconfigured(f"{doing}: {cause.str()}; the topics are made by `cardwatch kafka` or `make demo`")
    if cause.code() in _FORBIDDEN:
        return Misconfigured(f"{doing}: {cause.str()}; the user of CARDWATCH_KAFKA_USERNAME needs this right")
    if cause.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
        return BrokerUnavailable(f"{doing}: {cause.str()}; correct login and TLS in the CARDWATCH_KAFKA_ variables")
    return BrokerUnavailable(
        f"{doing}: {cause.str()}; is a broker running at the address in CARDWATCH_KAFKA_BOOTSTRAP?"
    )
