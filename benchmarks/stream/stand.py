"""The processes that are measured: broker, registry, scoring service, and the consumer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

import msgspec
import numpy as np
import psutil
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.feature_store.lmdb import LmdbStore
from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.topics import end_offsets
from adapters.local_stack.readiness import is_responding
from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, child_environment
from benchmarks.serving.fixture import ServingFixture, serving_fixture
from benchmarks.serving.servers import naive_fastapi, on_free_ports, worker_pid
from benchmarks.stream.relay import Relay
from benchmarks.stream.topic_writer import DISTINCT, Order
from benchmarks.stream.witness import Watch
from cardwatch.ports import StoreContents
from cardwatch.topics import TRANSACTIONS
from infra.local_stack.stack import LocalStack
from infra.local_stack.supervisor import ProcessSpec

SAMPLE_SECONDS: Final = 0.1
"""Time between two readings of committed offsets."""
UNMEASURED: Final = 0.2
"""Share of a backlog at its beginning that is not measured: the consumer joins its group, and fetching starts."""
TIMEOUT_SECONDS: Final = 600.0
"""Maximum time for a backlog."""


class Drain(Struct, frozen=True, kw_only=True):
    """How a backlog was processed: records a second, and microseconds of processor time per record, by process."""

    rate: float
    processor_us: dict[str, float]


class StreamStand:
    """A context manager: the stack without a worker, cards with a history, and topics that grow with each measurement.

    The scoring service has one worker. Log and store persist over the measurements, so that ids are never reused.
    """

    def __init__(self) -> None:
        self._closing = ExitStack()
        self.written = 0
        """Number of transactions written, which is the number of the next one."""

    def __enter__(self) -> Self:
        home = Path(self._closing.enter_context(TemporaryDirectory(prefix="cardwatch-stream-")))
        settings = _copy(serving_fixture(), home)
        self.stack = self._closing.enter_context(LocalStack(settings))
        self.stack.start("kafka", "mlflow", "scoring")
        self.settings = self.stack.settings
        readiness = self.settings.scoring_url + "/readyz"
        if not poll(lambda: is_responding(readiness), timeout_seconds=60.0):
            raise RuntimeError("the scoring service serves no model within 60 s")
        self.values = home / "values.msgpack"
        """File with values that were written to a topic, see `keep_values`."""
        self._scoring = worker_pid(self.stack.supervisor.pid("scoring"), "_bentoml_impl.worker.service")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.close()

    def write(self, count: int, **options: Any) -> subprocess.Popen[bytes]:
        """Start writing the next `count` transactions; the options are those of `Order`."""
        order = Order(bootstrap=self.settings.kafka_bootstrap, first=self.written, count=count, **options)
        self.written += count
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stream.topic_writer", msgspec.json.encode(order).decode()]
        )

    def write_backlog(self, count: int, **options: Any) -> None:
        """Write the next `count` transactions as fast as possible; raise if that fails."""
        if status := self.write(count, linger_ms=2, **options).wait():
            raise RuntimeError(f"the writer of transactions has ended with status {status}")

    def create_topic(self, name: str) -> None:
        """Create a topic with as many partitions as that of the transactions."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(name, self.settings.partitions, 1)])[name].result(30.0)

    def some_values(self, topic: str) -> list[bytes]:
        """Return values that were written to a topic."""
        with LogReader(self.settings.kafka, dict.fromkeys(((topic, p) for p in self.ends(topic)), 0)) as reader:
            records = poll(lambda: reader.poll(1.0, limit=DISTINCT), timeout_seconds=30.0) or []
        return [record.value for record in records if record.value is not None]

    def keep_values(self, topic: str) -> None:
        """Keep values of a topic, which relays then write."""
        self.values.write_bytes(msgspec.msgpack.encode(self.some_values(topic)))

    def start_worker(self, **settings: Any) -> None:
        """Start the stream worker with some settings of its own, and return when it has its partitions."""
        self.stack.settings = structs.replace(self.settings, **settings)
        self.stack.start("stream")

    def start_slot(self, slot: str) -> None:
        """Start a worker under a slot of its own, and return when it has its partitions."""
        self.start_module(slot, "services.stream", "--slot", slot)
        address = self.stack.health_address(slot) + "/readyz"
        if not poll(lambda: is_responding(address), timeout_seconds=120.0):
            raise RuntimeError(f"the worker {slot} is not ready within 120 s")

    def start_module(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module arguments`."""
        self.stack.supervisor.start(self.stack.job_spec(name, module, *arguments))

    def start_relay(self, client: KafkaClient, name: str, group: str, topic: str) -> None:
        """Start the relay with one of the Kafka clients at the end of what its group has committed."""
        relay = Relay(bootstrap=self.bootstrap, group=group, topic=topic, values=str(self.values))
        module = "relay" if client is KafkaClient.CONFLUENT else "relay_kafka_python"
        command = [sys.executable, "-m", f"benchmarks.stream.{module}", msgspec.json.encode(relay).decode()]
        self.stack.supervisor.start(
            ProcessSpec(name=name, command=command, environment=child_environment(self.settings))
        )

    @contextmanager
    def naive_service(self) -> Iterator[str]:
        """Run the naive FastAPI service with the same model, and yield the address of its endpoint."""
        [settings] = on_free_ports(self.settings, 1)
        part = naive_fastapi(settings).part
        self.stack.supervisor.start(part)
        yield f"{settings.scoring_url}/predict"
        self.stack.supervisor.stop(part.name)

    def drain(
        self,
        group: str,
        pids: dict[str, int],
        begin: dict[int, int],
        count: int,
        on_bound: Callable[[], object] = lambda: None,
    ) -> Drain:
        """Measure how the group's offsets advance from `begin` by `count` records.

        `on_bound` is called at the beginning and at the end of the measured part.
        """
        measured = pids | {"scoring": self._scoring, "broker": self.pid("kafka")}
        with closing(OffsetReader(self.settings.kafka, group)) as offsets:
            first, seconds, before = self._at(offsets, begin, int(count * UNMEASURED), measured)
            on_bound()
            last, end_seconds, after = self._at(offsets, begin, count, measured)
            on_bound()
        processed = max(last - first, 1)
        return Drain(
            rate=processed / (end_seconds - seconds),
            processor_us={name: (after[name] - before[name]) / processed * 1e6 for name in measured},
        )

    def lags(self, group: str, begin: dict[int, int], *, while_running: subprocess.Popen[bytes]) -> list[int]:
        """Return, once a second, how many written transactions the group has not committed."""
        found = []
        with closing(OffsetReader(self.settings.kafka, group)) as offsets:
            while while_running.poll() is None:
                time.sleep(1.0)
                found.append(sum(self.ends().values()) - sum(begin.values()) - _done(offsets, begin))
        if while_running.returncode:
            raise RuntimeError(f"the writer of transactions has ended with status {while_running.returncode}")
        return found

    def latencies(self, topic: str, count: int, rate: float) -> NDArray[np.float64]:
        """Write `count` transactions at a rate; return the ms until each one's record was readable, NaN if never."""
        return self.read_times_and_latencies(topic, count, rate)[1]

    def read_times_and_latencies(
        self, topic: str, count: int, rate: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Do the same, and return the ms since 1970 at which each record was readable, too."""
        sent, read, ready = (self.settings.home / name for name in ("sent", "read", "ready"))
        ready.unlink(missing_ok=True)
        wanted = Watch(
            bootstrap=self.bootstrap,
            topic=topic,
            begin=self.ends(topic),
            first=self.written,
            count=count,
            file=str(read),
            ready=str(ready),
        )
        command = [sys.executable, "-m", "benchmarks.stream.witness", msgspec.json.encode(wanted).decode()]
        with subprocess.Popen(command) as witness:
            if not poll(ready.exists, timeout_seconds=30.0):
                raise RuntimeError("the witness has not started within 30 s")
            if status := self.write(count, rate=rate, times=str(sent)).wait():
                raise RuntimeError(f"the writer of transactions has ended with status {status}")
            if status := witness.wait(120.0):
                raise RuntimeError(f"the witness has ended with status {status}")
        read_ms = np.fromfile(read)
        return read_ms, read_ms - np.fromfile(sent)

    def ends(self, topic: str = TRANSACTIONS) -> dict[int, int]:
        """Return the end offsets of a topic by partition."""
        return end_offsets(self.settings.kafka, topic)

    def pid(self, name: str) -> int:
        """Return the process id of a process that the stack has started."""
        return self.stack.supervisor.pid(name)

    @property
    def bootstrap(self) -> str:
        """Address of the broker."""
        return self.settings.kafka_bootstrap

    def _at(
        self, offsets: OffsetReader, begin: dict[int, int], goal: int, pids: dict[str, int]
    ) -> tuple[int, float, dict[str, float]]:
        """Return records, time and processor seconds when `goal` records are done."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (records := _done(offsets, begin)) < goal:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {records} of {goal} records were processed within {TIMEOUT_SECONDS:g} s")
            self.stack.supervisor.check()
            time.sleep(SAMPLE_SECONDS)
        return records, time.perf_counter(), {name: processor_seconds(pid) for name, pid in pids.items()}


def _done(offsets: OffsetReader, begin: dict[int, int]) -> int:
    """Return the number of records that a group has committed since `begin`."""
    found = offsets.committed(TRANSACTIONS, list(begin))
    return sum(found.get(partition, offset) - offset for partition, offset in begin.items())


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _copy(fixture: ServingFixture, home: Path) -> Settings:
    """Copy the home of a fixture. Its store is copied without offsets, because its cards come from no log."""
    copytree(
        fixture.settings.home,
        home,
        ignore=ignore_patterns("store", "logs", "*.bodies", "stack.json"),
        dirs_exist_ok=True,
    )
    settings = structs.replace(fixture.settings, home=home)
    with LmdbStore(fixture.settings.store) as given, LmdbStore(settings.store) as own, given.contents() as contents:
        own.fill(StoreContents({}, contents.cards))
    return settings
