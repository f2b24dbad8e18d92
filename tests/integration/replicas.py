"""The state of a cluster's replicas as its brokers report it, for tests that lose brokers."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from infra.local_stack.kafka_cluster import BROKERS, KafkaCluster
from tests import deadlines

DEADLINE_SECONDS = 120.0


def until(reached: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> float:
    """Poll for a state; gives after how many seconds it was reached."""
    return deadlines.until(what, reached, seconds)


class Replicas:
    """The replicas of all topics, Kafka's own included."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._settings = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
        self._admin = AdminClient(self._settings)

    def numbers(self) -> dict[str, set[int]]:
        """The number of replicas of the partitions, by topic."""
        topics = self._admin.list_topics(timeout=10).topics
        return {name: {len(each.replicas) for each in topic.partitions.values()} for name, topic in topics.items()}

    def create(self, topic: str) -> int:
        """Create a topic, and return its number of replicas. It is deleted at once."""

        def is_created() -> bool:
            # For some seconds brokers name one that was killed as the controller, and a client waits for it.
            admin = AdminClient(self._settings)
            try:
                admin.create_topics([NewTopic(topic, 1, -1)], request_timeout=5)[topic].result(timeout=30)
            except KafkaException as error:
                return bool(error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS)
            return True

        until(is_created, f"{topic} is created")
        until(lambda: topic in self.numbers(), f"{topic} is known")
        [number] = self.numbers()[topic]
        admin = AdminClient(self._settings)
        admin.delete_topics([topic])[topic].result(timeout=30)
        until(lambda: topic not in self.numbers(), f"{topic} is deleted")
        return number

    def min_in_sync(self, topic: str) -> int:
        """How many replicas must have a record before it is accepted."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        return int(self._admin.describe_configs([resource])[resource].result()["min.insync.replicas"].value)

    def are_in_sync(self) -> bool:
        """Whether every partition is led and has all its replicas."""
        try:
            topics = self._admin.list_topics(timeout=2).topics.values()
        except KafkaException:
            return False
        partitions = [each for topic in topics for each in topic.partitions.values()]
        return bool(partitions) and all(each.leader > 0 and len(each.isrs) == BROKERS for each in partitions)

    def await_in_sync(self) -> float:
        """Wait until no replica is behind, before the next broker is taken away; gives the seconds."""
        return until(self.are_in_sync, "all replicas are in sync")
