"""Administration of a cluster, with confluent-kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from adapters.kafka.confluent.connection import ErrorLog, client_settings, failed
from adapters.kafka.diagnosis import Cause, cause_of
from adapters.kafka.limits import REQUEST_SECONDS
from adapters.kafka.port import RequestFailed
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import CardwatchError


class ConfluentAdministration:
    """An admin client that logs no connection errors to stderr and reconnects without long backoff."""

    def __init__(self, broker: KafkaConnection) -> None:
        self._broker, self._errors = broker, ErrorLog()
        self._unopened: Cause | None = None

    @cached_property
    def _client(self) -> Any:
        """The client, made by the first request, because it needs a token before it can tell why there is none."""
        return AdminClient(
            {
                **client_settings(self._broker),
                "log_level": 0,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                "error_cb": self._errors,
            }
        )

    def brokers(self, timeout_seconds: float) -> list[tuple[str, int]]:
        """Return the advertised addresses, none without an answer."""
        self._unopened = None
        try:
            found = self._client.list_topics(timeout=timeout_seconds).brokers
        except CardwatchError as error:  # there is no token
            self._unopened = cause_of(error)
            return []
        except KafkaException:
            self._client.poll(0)  # calls back with the reason
            return []
        return [(each.host, each.port) for each in found.values()]

    def cause(self) -> Cause | None:
        """Return why no broker answers."""
        return self._unopened or self._errors.cause(self._broker)

    def create(self, partitions: Mapping[str, int], config: Mapping[str, str]) -> dict[str, str]:
        """Create missing topics, and return the reasons for those that cannot be created."""
        topics = [NewTopic(name, number, -1, config=dict(config)) for name, number in partitions.items()]
        refused = {}
        for name, future in self._client.create_topics(topics, operation_timeout=REQUEST_SECONDS).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    refused[name] = str(error.args[0])
        return refused

    def led_partitions(self) -> dict[str, int]:
        """Return the number of partitions per topic that has all leaders."""
        try:
            topics = self._client.list_topics(timeout=REQUEST_SECONDS).topics
        except KafkaException as error:
            raise failed(error) from error
        return {
            name: len(topic.partitions)
            for name, topic in topics.items()
            if all(partition.leader >= 0 for partition in topic.partitions.values())
        }

    def ends(self, topic: str, *, read_committed: bool) -> dict[int, int]:
        """Return the offset after the last record per partition."""
        isolation = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        try:
            found = self._client.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
            if found.error:
                raise KafkaException(found.error)
            requested = {TopicPartition(topic, number): OffsetSpec.latest() for number in found.partitions}
            results = self._client.list_offsets(requested, isolation_level=isolation, request_timeout=REQUEST_SECONDS)
            return {each.partition: future.result().offset for each, future in results.items()}
        except KafkaException as error:
            raise failed(error) from error

    def batch_limits(self, topics: Sequence[str]) -> dict[str, int | RequestFailed]:
        """Return the value of `max.message.bytes` per topic, or why it is not known."""
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        limits: dict[str, int | RequestFailed] = {}
        for resource, future in self._client.describe_configs(resources, request_timeout=REQUEST_SECONDS).items():
            try:
                limits[resource.name] = int(future.result()["max.message.bytes"].value)
            except KafkaException as error:
                limits[resource.name] = failed(error)
        return limits

    def close(self) -> None:
        """Do nothing: librdkafka closes the connection when the client is not referenced any more."""
