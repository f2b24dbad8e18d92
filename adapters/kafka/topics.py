"""Administration of a Kafka cluster: availability, topics, and their end offsets."""

from __future__ import annotations

import logging
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from adapters.kafka.connection import REQUEST_SECONDS
from adapters.kafka.diagnosis import Cause, ErrorLog, explain_silence, split_addresses, unreachable
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.retry import poll, retry
from cardwatch.errors import BrokerUnavailable, Misconfigured
from cardwatch.topics import KEYED_TOPICS, SINGLE_PARTITION_TOPICS

log = logging.getLogger(__name__)

FIRST_RESPONSE_SECONDS: Final = 3.0
"""Time within which a broker must answer, before the reason why it does not is looked for."""
_POLL_SECONDS: Final = 0.05
_REJECTIONS: Final = 2
"""Rejections after which waiting is pointless; one alone may come from a broker that is just starting."""
# Transient errors after a topic was created or a broker started: the controller names a leader before it is ready.
_LEADER_UNKNOWN: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
# Retention must not delete records with simulated event times, therefore the broker sets the time stamp.
_TOPIC_CONFIG: Final = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "1048588"}
MIN_BATCH_BYTES: Final = 1_000_000
"""Minimum value of `max.message.bytes` of a topic: the largest batch that librdkafka sends. With a smaller limit the
broker would reject a transaction each time that it is repeated."""


def broker_answers(broker: KafkaConnection, *, timeout_seconds: float = 1.0) -> bool:
    """Whether a broker responds within the timeout and has joined its cluster."""
    return bool(_brokers(_client(broker), timeout_seconds))


def unreachable_reason(broker: KafkaConnection, *, timeout_seconds: float = 1.0) -> str | None:
    """Return why no broker responds within the timeout, None if one does."""
    errors = ErrorLog()
    if _brokers(_client(broker, errors), timeout_seconds):
        return None
    cause = errors.cause(broker)
    return cause.text if cause else "it does not answer yet"


def wait_for_broker(broker: KafkaConnection, timeout_seconds: float = 10.0) -> None:
    """Wait until a broker responds, and the cluster's own addresses accept connections.

    Raises `BrokerUnavailable` after the timeout, with the cause: no listener, TLS, the login, or an advertised name.
    Raises `Misconfigured` earlier if the broker has twice rejected the login or the certificate, or its own is not
    trusted.
    """
    errors = ErrorLog()
    client, request_seconds = _client(broker, errors), max(0.1, min(1.0, timeout_seconds))
    rejected = 0

    def brokers() -> list[tuple[str, int]] | Cause | None:
        nonlocal rejected
        if found := _brokers(client, request_seconds):
            return found
        cause = errors.cause(broker)
        rejected += bool(cause and cause.is_permanent)
        return cause if rejected >= _REJECTIONS else None

    found = poll(brokers, timeout_seconds=timeout_seconds, poll_seconds=0)
    if isinstance(found, list):
        _require_advertised(broker, found)
        return
    cause = found or errors.cause(broker)
    if cause and cause.is_permanent:
        raise Misconfigured(f"the Kafka broker at {broker} cannot be used: {cause.text}")
    reason = cause.text if cause else explain_silence(broker)
    raise BrokerUnavailable(f"no Kafka broker answers at {broker} within {timeout_seconds:g} s: {reason}")


def ensure_topics(broker: KafkaConnection, *, partitions: int) -> None:
    """Wait for the broker and create missing topics. Every process that uses the log starts with this.

    Raises what `wait_for_broker` and `create_topics` raise, and `Misconfigured` without an address.
    """
    if not broker.bootstrap:
        raise Misconfigured("CARDWATCH_KAFKA_BOOTSTRAP is not set: this process needs the address of a Kafka broker")
    wait_for_broker(broker, FIRST_RESPONSE_SECONDS)
    create_topics(broker, partitions=partitions)


def create_topics(broker: KafkaConnection, *, partitions: int) -> None:
    """Create missing topics, and wait until all can be written.

    Keyed topics get `partitions` partitions, `progress` gets one. Raises `BrokerUnavailable`, and `Misconfigured` if a
    topic has another number of partitions, because cards would then move between partitions, or accepts too small
    batches only.
    """
    client = _client(broker)
    wanted = dict.fromkeys(KEYED_TOPICS, partitions) | dict.fromkeys(SINGLE_PARTITION_TOPICS, 1)
    topics = [NewTopic(name, number, -1, config=_TOPIC_CONFIG) for name, number in wanted.items()]
    for name, future in client.create_topics(topics, operation_timeout=REQUEST_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerUnavailable(f"topic {name} cannot be created at {broker}: {error.args[0]}") from error
    _await_topics(client, broker, wanted)
    _require_large_batches(client, broker, list(wanted))


def end_offsets(broker: KafkaConnection, topic: str, *, read_committed: bool = True) -> dict[int, int]:
    """Return the offset after the last record per partition; with `read_committed`, before the first open transaction.

    Transaction markers occupy offsets too, so the difference of two ends is not a number of records. Raises
    `BrokerUnavailable`, also for a topic that does not exist.
    """
    client = _client(broker)
    isolation = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
    try:
        return retry(
            lambda: _query_ends(client, topic, isolation),
            timeout_seconds=REQUEST_SECONDS,
            retry_seconds=_POLL_SECONDS,
            is_transient=lambda error: isinstance(error, KafkaException) and error.args[0].code() in _LEADER_UNKNOWN,
        )
    except KafkaException as error:
        raise BrokerUnavailable(f"cannot read the end offsets of {topic} at {broker}: {error.args[0]}") from error


def _client(broker: KafkaConnection, errors: ErrorLog | None = None) -> Any:
    """Return a client that logs no connection errors to stderr and reconnects without long backoff."""
    return AdminClient(
        {
            **broker.client_settings(),
            "log_level": 0,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "error_cb": errors or ErrorLog(),
        }
    )


def _query_ends(client: Any, topic: str, isolation: IsolationLevel) -> dict[int, int]:
    found = client.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
    if found.error:
        raise KafkaException(found.error)
    requested = {TopicPartition(topic, number): OffsetSpec.latest() for number in found.partitions}
    results = client.list_offsets(requested, isolation_level=isolation, request_timeout=REQUEST_SECONDS)
    return {each.partition: future.result().offset for each, future in results.items()}


def _brokers(client: Any, timeout_seconds: float) -> list[tuple[str, int]]:
    """Return the addresses that the brokers of the cluster advertise, none without an answer."""
    try:
        return [(each.host, each.port) for each in client.list_topics(timeout=timeout_seconds).brokers.values()]
    except KafkaException:
        client.poll(0)  # calls back with the reason
        return []


def _require_advertised(broker: KafkaConnection, advertised: list[tuple[str, int]]) -> None:
    """Raise `BrokerUnavailable` if no advertised address accepts connections, because all records go through them."""
    if set(advertised) & set(split_addresses(broker.bootstrap)):
        return
    if len(failures := unreachable(advertised)) == len(set(advertised)):
        shown = "; ".join(f"{host}:{port} ({reason})" for (host, port), reason in failures.items())
        raise BrokerUnavailable(
            f"the Kafka broker at {broker} answers, but sends its clients on to addresses that this machine cannot "
            f"reach: {shown}. Correct advertised.listeners of the broker, or make these names known here"
        )


def _await_topics(client: Any, broker: KafkaConnection, wanted: dict[str, int]) -> None:
    def counts_if_led() -> dict[str, int]:
        """Partitions per topic, or nothing if a topic or a leader is missing."""
        found = client.list_topics(timeout=REQUEST_SECONDS).topics
        present = {name: found[name].partitions.values() for name in wanted if name in found}
        led = len(present) == len(wanted) and all(p.leader >= 0 for ps in present.values() for p in ps)
        return {name: len(partitions) for name, partitions in present.items()} if led else {}

    counts = poll(counts_if_led, timeout_seconds=REQUEST_SECONDS, poll_seconds=_POLL_SECONDS)
    if not counts:
        raise BrokerUnavailable(f"the topics at {broker} have no leaders after {REQUEST_SECONDS:g} s")
    for name, count in counts.items():
        if count != wanted[name]:
            raise Misconfigured(
                f"topic {name} at {broker} has {count} partitions, CARDWATCH_PARTITIONS asks for {wanted[name]}: "
                f"set it to {count} if the topic has always had {count}; if partitions were added, see "
                "docs/runbook/wrong-partition.md"
            )


def _require_large_batches(client: Any, broker: KafkaConnection, topics: list[str]) -> None:
    found = client.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics], request_timeout=REQUEST_SECONDS
    )
    for resource, future in found.items():
        try:
            limit = int(future.result()["max.message.bytes"].value)
        except KafkaException as error:
            log.warning("the limits of topic %s at %s are not known: %s", resource.name, broker, error.args[0])
            continue
        if limit < MIN_BATCH_BYTES:
            raise Misconfigured(
                f"topic {resource.name} at {broker} accepts batches of {limit:,} bytes, {MIN_BATCH_BYTES:,} are "
                "needed: kafka-configs.sh --alter --entity-type topics --entity-name "
                f"{resource.name} --add-config max.message.bytes={_TOPIC_CONFIG['max.message.bytes']}"
            )
