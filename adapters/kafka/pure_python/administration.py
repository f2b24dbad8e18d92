"""Administration of a cluster and its offsets, with kafka-python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from kafka.protocol.consumer import IsolationLevel, OffsetSpec
from kafka.structs import OffsetAndMetadata

from adapters.kafka.diagnosis import Cause, cause_of
from adapters.kafka.limits import REQUEST_SECONDS
from adapters.kafka.port import RequestFailed
from adapters.kafka.pure_python.connection import Connections, client_settings, failed
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import CardwatchError

T = TypeVar("T")


class PurePythonAdministration:
    """An admin client that connects at its first request, and again after a failed one."""

    def __init__(self, broker: KafkaConnection) -> None:
        self._broker = broker
        self._connections = Connections(broker)
        self._client: KafkaAdminClient | None = None

    def brokers(self, timeout_seconds: float) -> list[tuple[str, int]]:
        """Return the advertised addresses, none without an answer."""
        try:
            if self._client is None:  # what the given address says, even if no advertised one can be reached
                found = self._ask(lambda client: client._manager.cluster.brokers(), timeout_seconds)
                return [(each.host, each.port) for each in found]
            metadata = self._ask(lambda client: client.describe_cluster())
        except CardwatchError as error:  # there is no token
            self._connections.cause = cause_of(error)
            return []
        except RequestFailed:
            return []
        return [(each["host"], each["port"]) for each in metadata["brokers"]]

    def cause(self) -> Cause | None:
        """Return why no broker answers."""
        return self._connections.cause

    def create(self, partitions: Mapping[str, int], config: Mapping[str, str]) -> dict[str, str]:
        """Create missing topics, and return the reasons for those that cannot be created."""
        topics = {name: {"num_partitions": number, "configs": dict(config)} for name, number in partitions.items()}
        answer = self._ask(lambda client: client.create_topics(topics, raise_errors=False))
        refused = {}
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not TopicAlreadyExistsError:
                refused[topic["name"]] = topic.get("error_message") or error.__name__
        return refused

    def led_partitions(self) -> dict[str, int]:
        """Return the number of partitions per topic that has all leaders."""
        return {
            topic["name"]: len(topic["partitions"])
            for topic in self._ask(lambda client: client.describe_topics())
            if all(partition["leader_id"] >= 0 for partition in topic["partitions"])
        }

    def ends(self, topic: str, *, read_committed: bool) -> dict[int, int]:
        """Return the offset after the last record per partition."""
        [found] = self._ask(lambda client: client.describe_topics([topic]))
        if found["error_code"]:
            raise failed(for_code(found["error_code"])())
        places = [TopicPartition(topic, partition["partition_index"]) for partition in found["partitions"]]
        isolation = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        return self.offsets(places, OffsetSpec.LATEST, isolation)

    def offsets(self, places: Sequence[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel) -> dict[int, int]:
        """Return the offset of a specification for partitions of one topic."""
        wanted = dict.fromkeys(places, spec)
        found = self._ask(lambda client: client.list_partition_offsets(wanted, isolation))
        return {place.partition: each.offset for place, each in found.items()}

    def batch_limits(self, topics: Sequence[str]) -> dict[str, int | RequestFailed]:
        """Return the value of `max.message.bytes` per topic, or why it is not known."""
        return {topic: self._batch_limit(topic) for topic in topics}

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return the committed offsets of a group."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        found = self._ask(lambda client: client.list_group_offsets({group: wanted}))[group]
        return {place.partition: each.offset for place, each in found.items() if each.offset >= 0}

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the committed offsets of a group without members."""
        places = {
            TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()
        }
        for error in self._ask(lambda client: client.alter_group_offsets(group, places)).values():
            if error.errno:
                raise failed(error())

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _batch_limit(self, topic: str) -> int | RequestFailed:
        name = "max.message.bytes"
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
        try:
            found = self._ask(lambda client: client.describe_configs([resource], config_filter="all"))
        except RequestFailed as error:
            return error
        return int(found["topic"][topic][name]["value"])

    def _ask(self, request: Callable[[Any], T], timeout_seconds: float = REQUEST_SECONDS) -> T:
        """Return the answer to a request. Connecting may take the timeout; an answer has that of a request."""
        try:
            if self._client is None:
                self._client = self._connect(timeout_seconds)
            return request(self._client)
        except KafkaError as error:
            self.close()
            raise failed(error) from error

    def _connect(self, timeout_seconds: float) -> KafkaAdminClient:
        opened: list[Any] = []

        def open_network(**settings: Any) -> Any:
            opened.append(self._connections.client(**settings))
            return opened[0]

        settings = {**client_settings(self._broker, self._connections), "kafka_client": open_network}
        try:
            return KafkaAdminClient(**settings, bootstrap_timeout_ms=int(1_000 * timeout_seconds))
        except BaseException:  # the library leaves its thread and its connections behind
            for network in opened:
                network.close()
                network._net.stop()
            raise


class PurePythonOffsets:
    """Offsets of partitions and of one group."""

    def __init__(self, broker: KafkaConnection, group: str) -> None:
        self._client, self._group = PurePythonAdministration(broker), group

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return begin and end of the partition."""
        place = TopicPartition(topic, partition)
        first, end = (
            self._client.offsets([place], spec, IsolationLevel.READ_COMMITTED)[partition]
            for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        return first, end

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offsets."""
        return self._client.committed(self._group, topic, partitions)

    def commit(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the group's committed offsets."""
        self._client.commit(self._group, topic, offsets)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
