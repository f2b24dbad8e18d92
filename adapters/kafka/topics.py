"""Administration of a Kafka cluster: availability, topics, and their end offsets."""

from __future__ import annotations

import logging
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from adapters.kafka.connection import REQUEST_SECONDS
from adapters.runtime.retry import poll, retry
from cardwatch.errors import BrokerUnavailable, Misconfigured
from cardwatch.topics import KEYED_TOPICS, SINGLE_PARTITION_TOPICS

log = logging.getLogger(__name__)

_FIRST_RESPONSE_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.05
# Transient errors after a topic was created or a broker started: the controller names a leader before it is ready.
_LEADER_UNKNOWN: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
# Retention must not delete records with simulated event times, therefore the broker sets the time stamp.
_TOPIC_CONFIG: Final = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(1_048_588)}
MIN_BATCH_BYTES: Final = 1_000_000
"""What a topic must accept at least in one batch: librdkafka's largest batch. A dead letter is a tenth of it. With a
smaller limit a transaction would be refused, and be repeated for ever."""


def broker_answers(bootstrap: str, *, timeout_seconds: float = 1.0) -> bool:
    """Whether a broker at `bootstrap` responds within the timeout and has joined its cluster."""
    return _brokers(_client(bootstrap), timeout_seconds) > 0


def wait_for_broker(bootstrap: str, timeout_seconds: float = 10.0) -> None:
    """Wait until a broker at `bootstrap` responds. Raise `BrokerUnavailable` after the timeout."""
    client, request_seconds = _client(bootstrap), max(0.1, min(1.0, timeout_seconds))
    if not poll(lambda: _brokers(client, request_seconds), timeout_seconds=timeout_seconds, poll_seconds=0):
        raise BrokerUnavailable(
            f"no Kafka broker answers at {bootstrap} within {timeout_seconds:g} s: start it, or correct "
            "CARDWATCH_KAFKA_BOOTSTRAP (leave it empty for the embedded broker)"
        )


def ensure_topics(bootstrap: str, *, partitions: int) -> None:
    """Wait for the broker and create missing topics. Every process that uses the log starts with this.

    Raises what `wait_for_broker` and `create_topics` raise, and `Misconfigured` without an address.
    """
    if not bootstrap:
        raise Misconfigured("CARDWATCH_KAFKA_BOOTSTRAP is not set: this process needs the address of a Kafka broker")
    wait_for_broker(bootstrap, _FIRST_RESPONSE_SECONDS)
    create_topics(bootstrap, partitions=partitions)


def create_topics(bootstrap: str, *, partitions: int) -> None:
    """Create missing topics, and wait until all can be written.

    Keyed topics get `partitions` partitions, `progress` gets one. Raises `BrokerUnavailable`, and `Misconfigured` if a
    topic has another number of partitions, because cards would then move between partitions, or accepts too small
    batches only.
    """
    client = _client(bootstrap)
    wanted = dict.fromkeys(KEYED_TOPICS, partitions) | dict.fromkeys(SINGLE_PARTITION_TOPICS, 1)
    topics = [NewTopic(name, number, -1, config=_TOPIC_CONFIG) for name, number in wanted.items()]
    for name, future in client.create_topics(topics, operation_timeout=REQUEST_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerUnavailable(f"topic {name} cannot be created at {bootstrap}: {error.args[0]}") from error
    _await_topics(client, bootstrap, wanted)
    _require_large_batches(client, bootstrap, list(wanted))


def end_offsets(bootstrap: str, topic: str, *, read_committed: bool = True) -> dict[int, int]:
    """Return the offset after the last record per partition; with `read_committed`, before the first open transaction.

    Transaction markers occupy offsets too, so the difference of two ends is not a number of records. Raises
    `BrokerUnavailable`, also for a topic that does not exist.
    """
    client = _client(bootstrap)
    isolation = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
    try:
        return retry(
            lambda: _query_ends(client, topic, isolation),
            timeout_seconds=REQUEST_SECONDS,
            retry_seconds=_POLL_SECONDS,
            is_transient=lambda error: isinstance(error, KafkaException) and error.args[0].code() in _LEADER_UNKNOWN,
        )
    except KafkaException as error:
        raise BrokerUnavailable(f"cannot read the end offsets of {topic} at {bootstrap}: {error.args[0]}") from error


def _client(bootstrap: str) -> Any:
    """Return a client that logs no connection errors to stderr and reconnects without long backoff."""
    return AdminClient(
        {"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100}
    )


def _query_ends(client: Any, topic: str, isolation: IsolationLevel) -> dict[int, int]:
    found = client.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
    if found.error:
        raise KafkaException(found.error)
    requested = {TopicPartition(topic, number): OffsetSpec.latest() for number in found.partitions}
    results = client.list_offsets(requested, isolation_level=isolation, request_timeout=REQUEST_SECONDS)
    return {each.partition: future.result().offset for each, future in results.items()}


def _brokers(client: Any, timeout_seconds: float) -> int:
    try:
        return len(client.list_topics(timeout=timeout_seconds).brokers)
    except KafkaException:
        return 0


def _await_topics(client: Any, bootstrap: str, wanted: dict[str, int]) -> None:
    def counts_if_led() -> dict[str, int]:
        """Partitions per topic, or nothing if a topic or a leader is missing."""
        found = client.list_topics(timeout=REQUEST_SECONDS).topics
        present = {name: found[name].partitions.values() for name in wanted if name in found}
        led = len(present) == len(wanted) and all(p.leader >= 0 for ps in present.values() for p in ps)
        return {name: len(partitions) for name, partitions in present.items()} if led else {}

    counts = poll(counts_if_led, timeout_seconds=REQUEST_SECONDS, poll_seconds=_POLL_SECONDS)
    if not counts:
        raise BrokerUnavailable(f"the topics at {bootstrap} have no leaders after {REQUEST_SECONDS:g} s")
    for name, count in counts.items():
        if count != wanted[name]:
            raise Misconfigured(
                f"topic {name} at {bootstrap} has {count} partitions, CARDWATCH_PARTITIONS asks for {wanted[name]}: "
                f"set it to {count} if the topic has always had {count}; if partitions were added, see "
                "docs/runbook/wrong-partition.md"
            )


def _require_large_batches(client: Any, bootstrap: str, topics: list[str]) -> None:
    found = client.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics], request_timeout=REQUEST_SECONDS
    )
    for resource, future in found.items():
        try:
            limit = int(future.result()["max.message.bytes"].value)
        except KafkaException as error:
            log.warning("the limits of topic %s at %s are not known: %s", resource.name, bootstrap, error.args[0])
            continue
        if limit < MIN_BATCH_BYTES:
            raise Misconfigured(
                f"topic {resource.name} at {bootstrap} accepts batches of {limit:,} bytes, {MIN_BATCH_BYTES:,} are "
                "needed: kafka-configs.sh --alter --entity-type topics --entity-name "
                f"{resource.name} --add-config max.message.bytes={_TOPIC_CONFIG['max.message.bytes']}"
            )
