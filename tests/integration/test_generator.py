"""The generator on a real broker: after kills the log holds every simulated record once, in order."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from adapters.kafka.consumer import LogReader
from adapters.kafka.progress import publish_progress
from adapters.kafka.topics import create_topics, end_offsets
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import child_environment, read_settings
from cardwatch.events import encode
from cardwatch.progress import Bootstrapped, DayArchived, DayEmitted, decode_progress
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.servers import unready_reason
from infra.local_stack.supervisor import ProcessSpec, Supervisor

WORLD = SimulationSettings(seed=3, cards=50, fraud_share=0.05)
RATE = 80
FAR_AWAY = date(2030, 1, 1)


def until(what: str, reached: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


class GeneratorBench:
    """A broker and a generator, each of which can be killed and restarted."""

    def __init__(self, home: Path, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        broker = EmbeddedKafka(read_settings({}, home=home))
        settings = read_settings({}, home=home, kafka_bootstrap=broker.bootstrap)
        [port] = free_ports(1)
        plan = home / "plan.json"
        endless = {"live_days": None, "days_after_promotion": None, "live_rate_per_second": RATE}
        plan.write_bytes(msgspec.json.encode({"world": WORLD, "history_days": 2, **endless}))
        self._ready_url = f"http://{LOOPBACK}:{port}/readyz"
        self._kafka, self._partitions = broker.connection, settings.partitions
        self._parts = {
            "kafka": broker.process_spec(),
            "generator": ProcessSpec(
                name="generator",
                command=[sys.executable, "-m", "services.generator", str(plan)],
                environment=child_environment(settings, CARDWATCH_WATCH_PORT=str(port)),
            ),
        }

    def start(self, name: str) -> None:
        self._supervisor.start(self._parts[name])

    def kill(self, name: str) -> None:
        self._supervisor.kill(name)

    def publish_bootstrap(self) -> None:
        """Publish the records of bootstrap and archive that the generator waits for."""
        create_topics(self._kafka, partitions=self._partitions)
        publish_progress(self._kafka, Bootstrapped(day=FAR_AWAY, champion_version="1", average_precision=0.5))
        archived = DayArchived(day=FAR_AWAY, transactions=0, decisions=0, labels=0, table_id="")
        publish_progress(self._kafka, archived)

    def await_transactions(self, more: int) -> None:
        wanted = self._sent() + more
        until(f"{wanted} transactions", lambda: self._sent() >= wanted)

    def await_refusal(self, reason: str) -> None:
        until(reason, lambda: reason in (unready_reason(self._ready_url) or ""))

    def read(self, topic: str) -> Iterator[Record]:
        ends = end_offsets(self._kafka, topic)
        with LogReader(self._kafka, {(topic, partition): 0 for partition in ends}) as reader:
            while any(reader.reached(topic, partition) < end for partition, end in ends.items()):
                yield from reader.poll(0.2)

    def _sent(self) -> int:
        return sum(end_offsets(self._kafka, TRANSACTIONS).values())


@pytest.mark.long
def test_after_kills_the_log_holds_every_simulated_record_once_and_in_order(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        bench = GeneratorBench(tmp_path, supervisor)
        bench.start("generator")
        bench.await_refusal("no Kafka broker answers")
        bench.start("kafka")
        bench.publish_bootstrap()
        for _ in range(3):
            bench.await_transactions(more=150)
            bench.kill("generator")
            bench.start("generator")
        bench.await_transactions(more=50)
        bench.kill("kafka")
        bench.await_refusal("the broker")
        bench.start("kafka")
        bench.await_transactions(more=200)
        supervisor.stop("generator")

        sent: defaultdict[int, list[bytes | None]] = defaultdict(list)
        partition_of: dict[str, int] = {}
        for record in bench.read(TRANSACTIONS):
            sent[record.partition].append(record.value)
            partition_of[(record.key or b"").decode()] = record.partition
        labels = [record.value for record in bench.read(LABELS)]
        progress = [decode_progress(record.value) for record in bench.read(PROGRESS)]

    simulation, simulated = Simulation(WORLD), defaultdict(list)
    days, ended, label_count = 0, [each.day for each in progress if isinstance(each, DayEmitted)], 0
    while days <= len(ended):  # the last one was not sent completely
        events = simulation.day(days)
        days += 1
        label_count += len(events.labels) if days <= len(ended) else 0
        for each in events.transactions:
            simulated[partition_of.get(each.card_id, -1)].append(encode(each))
    assert sum(map(len, sent.values())) >= 3 * 150 + 50 + 200
    for partition, values in sent.items():
        assert values == simulated[partition][: len(values)]
    assert ended == sorted(set(ended))
    assert len(labels) == len(set(labels)) == label_count
