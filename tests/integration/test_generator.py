"""The generator on a real broker: after kills the log holds every simulated record once, in order."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Event, Thread

import msgspec
import numpy as np
import pytest
from msgspec import structs

from adapters.kafka.consumer import LogReader
from adapters.kafka.producer import LogWriter
from adapters.kafka.progress import publish_progress
from adapters.kafka.topics import create_topics, end_offsets
from adapters.local_stack.readiness import unready_reason
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import child_environment, read_settings
from cardwatch.events import Action, Label, Transaction, decode, encode
from cardwatch.progress import Bootstrapped, DayArchived, DayEmitted, decode_progress
from cardwatch.records import Record
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import SelectionSettings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import ProcessSpec, Supervisor
from tests.monitored_days import stable_day
from tests.unit.services.records_of_others import DECISION

WORLD = SimulationSettings(seed=3, cards=50, fraud_share=0.05)
RATE = 80
FAR_AWAY = date(2030, 1, 1)
SELECTIVE = structs.replace(WORLD, labels=LabelSettings(selection=SelectionSettings(confirmed_share=0.5)))
MONITORED = stable_day(FAR_AWAY)


def until(what: str, reached: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


def action_on(transaction: Transaction) -> Action:
    return list(Action)[int(transaction.transaction_id[-6:]) % 3]


class GeneratorBench:
    """A broker and a generator, each of which can be killed and restarted."""

    def __init__(
        self, home: Path, supervisor: Supervisor, world: SimulationSettings = WORLD, rate: float | None = RATE
    ) -> None:
        self._supervisor = supervisor
        broker = EmbeddedKafka(read_settings({}, home=home))
        settings = read_settings({}, home=home, kafka_bootstrap=broker.bootstrap)
        [port] = free_ports(1)
        plan = home / "plan.json"
        endless = {"live_days": None, "days_after_promotion": None, "live_rate_per_second": rate}
        plan.write_bytes(msgspec.json.encode({"world": world, "history_days": 2, **endless}))
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
        publish_progress(self._kafka, MONITORED)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Decide every transaction in the log, as a stream worker would, until the block ends."""
        stopping = Event()
        thread = Thread(target=self._decide, args=(stopping,), daemon=True)
        thread.start()
        yield
        stopping.set()
        thread.join()

    def _decide(self, stopping: Event) -> None:
        writer = LogWriter(self._kafka)
        with LogReader(self._kafka, dict.fromkeys(self._log(TRANSACTIONS), 0)) as reader:
            while not stopping.is_set():
                for record in reader.poll(0.1):
                    transaction = decode(record.value, Transaction)
                    decided = structs.replace(DECISION, transaction=transaction, action=action_on(transaction))
                    writer.write(DECISIONS, transaction.card_id, encode(decided))
                writer.flush()
        writer.close()

    def _log(self, topic: str) -> list[tuple[str, int]]:
        return [(topic, partition) for partition in end_offsets(self._kafka, topic)]

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


@pytest.mark.long
def test_after_kills_the_log_holds_every_label_that_the_decisions_allow_once_and_in_order(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        bench = GeneratorBench(tmp_path, supervisor, SELECTIVE, rate=None)
        bench.start("kafka")
        bench.publish_bootstrap()
        with bench.stream():
            bench.start("generator")
            for _ in range(3):
                bench.await_transactions(more=600)
                bench.kill("generator")
                bench.start("generator")
            bench.await_transactions(more=600)
            supervisor.stop("generator")
        labels: defaultdict[int, list[Label]] = defaultdict(list)
        for record in bench.read(LABELS):
            labels[record.partition].append(decode(record.value, Label))
        progress = [decode_progress(record.value) for record in bench.read(PROGRESS)]

    ended = [each.day for each in progress if isinstance(each, DayEmitted)]
    assert ended == sorted(set(ended)) and len(ended) > 10
    partition_of = {label.card_id: partition for partition, found in labels.items() for label in found}
    simulation, expected = Simulation(SELECTIVE), defaultdict(list)
    for number in range(len(ended) + 1):  # the labels of the last day may be there in part
        sent = simulation.begin_records(number)
        codes = np.array([list(Action).index(action_on(each)) for each in sent], np.int8)
        for label in simulation.end_records(sent, codes if number >= 2 else None).labels:
            expected[partition_of.get(label.card_id, -1)].append(label)
    complete = sum(label.observed_at.date() <= ended[-1] for found in expected.values() for label in found)
    assert sum(map(len, labels.values())) >= complete
    for partition, found in labels.items():
        assert found == expected[partition][: len(found)]
