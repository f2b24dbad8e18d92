"""Administration of a Kafka cluster: availability, topics, and their end offsets."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Final

from adapters.kafka.diagnosis import Cause, explain_silence, split_addresses, unreachable
from adapters.kafka.errors import NO_TOPIC, broker_error
from adapters.kafka.library import library_of
from adapters.kafka.limits import MIN_BATCH_BYTES, REQUEST_SECONDS
from adapters.kafka.offsets import is_election
from adapters.kafka.port import AdministrationClient, Failure, RequestFailed
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
# Retention must not delete records with simulated event times, therefore the broker sets the time stamp.
_TOPIC_CONFIG: Final = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "1048588"}


def broker_answers(broker: KafkaConnection, *, timeout_seconds: float = 1.0) -> bool:
    """Whether a broker responds within the timeout and has joined its cluster."""
    with _client(broker) as client:
        return bool(client.brokers(timeout_seconds))


def unreachable_reason(broker: KafkaConnection, *, timeout_seconds: float = 1.0) -> str | None:
    """Return why no broker responds within the timeout, None if one does."""
    with _client(broker) as client:
        if client.brokers(timeout_seconds):
            return None
        cause = client.cause()
    return cause.text if cause else "it does not answer yet"


def wait_for_broker(broker: KafkaConnection, timeout_seconds: float = 10.0) -> None:
    """Wait until a broker responds, and the cluster's own addresses accept connections.

    Raises `BrokerUnavailable` after the timeout, with the cause: no listener, TLS, the login, or an advertised name.
    Raises `Misconfigured` earlier if the broker has twice rejected the login or the certificate, or its own is not
    trusted.
    """
    request_seconds = max(0.1, min(1.0, timeout_seconds))
    rejected = 0

    with _client(broker) as client:

        def brokers() -> list[tuple[str, int]] | Cause | None:
            nonlocal rejected
            if found := client.brokers(request_seconds):
                return found
            cause = client.cause()
            rejected += bool(cause and cause.is_permanent)
            return cause if rejected >= _REJECTIONS else None

        found = poll(brokers, timeout_seconds=timeout_seconds, poll_seconds=_POLL_SECONDS)
        if isinstance(found, list):
            _require_advertised(broker, found)
            return
        cause = found or client.cause()
    if cause and cause.is_permanent:
        raise Misconfigured(f"the Kafka broker at {broker} cannot be used: {cause.text}")
    reason = cause.text if cause else explain_silence(broker)
    raise BrokerUnavailable(f"no Kafka broker answers at {broker} within {timeout_seconds:g} s: {reason}")


def lost_brokers(broker: KafkaConnection) -> str:
    """Return which brokers of the cluster accept no connection, the empty string if all do."""
    with _client(broker) as client:
        addresses = dict.fromkeys([*split_addresses(broker.bootstrap), *client.brokers(FIRST_RESPONSE_SECONDS)])
    failures = unreachable(list(addresses))
    shown = ", ".join(f"{host}:{port} ({reason})" for (host, port), reason in failures.items())
    return f"{len(failures)} of {len(addresses)} brokers accept no connection: {shown}" if failures else ""


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
    wanted = dict.fromkeys(KEYED_TOPICS, partitions) | dict.fromkeys(SINGLE_PARTITION_TOPICS, 1)
    try:
        with _client(broker) as client:
            for name, reason in client.create(wanted, _TOPIC_CONFIG).items():
                raise BrokerUnavailable(f"topic {name} cannot be created at {broker}: {reason}")
            _await_topics(client, broker, wanted)
            _require_large_batches(client, broker, list(wanted))
    except RequestFailed as error:
        raise broker_error(error, f"creating the topics at {broker}") from error


def end_offsets(broker: KafkaConnection, topic: str, *, read_committed: bool = True) -> dict[int, int]:
    """Return the offset after the last record per partition; with `read_committed`, before the first open transaction.

    Transaction markers occupy offsets too, so the difference of two ends is not a number of records. Raises
    `BrokerUnavailable`, also for a topic that does not exist.
    """
    try:
        with _client(broker) as client:
            return retry(
                lambda: client.ends(topic, read_committed=read_committed),
                timeout_seconds=REQUEST_SECONDS,
                retry_seconds=_POLL_SECONDS,
                is_transient=is_election,
            )
    except RequestFailed as error:
        reason = NO_TOPIC if error.failure is Failure.UNKNOWN_TOPIC else error
        raise BrokerUnavailable(f"cannot read the end offsets of {topic} at {broker}: {reason}") from error


def _client(broker: KafkaConnection) -> closing[AdministrationClient]:
    return closing(library_of(broker).administration(broker))


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


def _await_topics(client: AdministrationClient, broker: KafkaConnection, wanted: dict[str, int]) -> None:
    def counts_if_led() -> dict[str, int]:
        """Partitions per topic, or nothing if a topic or a leader is missing."""
        led = client.led_partitions()
        return {name: led[name] for name in wanted} if wanted.keys() <= led.keys() else {}

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


def _require_large_batches(client: AdministrationClient, broker: KafkaConnection, topics: list[str]) -> None:
    # Each question may go to another broker, and one of several hears of a new topic a little later.
    limits = poll(
        lambda: client.batch_limits(topics),
        until=lambda found: not any(_is_unknown(limit) for limit in found.values()),
        timeout_seconds=REQUEST_SECONDS,
        poll_seconds=_POLL_SECONDS,
    )
    for topic, limit in limits.items():
        if isinstance(limit, RequestFailed):
            log.warning("the limits of topic %s at %s are not known: %s", topic, broker, limit)
        elif limit < MIN_BATCH_BYTES:
            raise Misconfigured(
                f"topic {topic} at {broker} accepts batches of {limit:,} bytes, {MIN_BATCH_BYTES:,} are "
                "needed: kafka-configs.sh --alter --entity-type topics --entity-name "
                f"{topic} --add-config max.message.bytes={_TOPIC_CONFIG['max.message.bytes']}"
            )


def _is_unknown(limit: int | RequestFailed) -> bool:
    return isinstance(limit, RequestFailed) and limit.failure is Failure.UNKNOWN_TOPIC
