"""Each alert fires after the fault of its page in docs/runbook, and resolves after the remedy."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import psutil
import pytest
import redis
import yaml
from confluent_kafka import Producer
from msgspec import structs

from adapters.kafka.offsets import OffsetReader
from adapters.kafka.producer import LogWriter
from adapters.kafka.progress import publish_progress
from adapters.kafka.topics import end_offsets
from adapters.prefect import PrefectDeployments
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Secret, Settings, read_settings
from cardwatch.events import Label, LabelSource, Transaction, encode
from cardwatch.progress import DayEmitted
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import LABELS, STREAM_GROUP, TRANSACTIONS
from infra.local_stack.stack import LocalStack
from infra.local_stack.supervisor import ProcessSpec

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_000)]

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "monitoring" / "prometheus"
WORLD = SimulationSettings(seed=11, cards=1500, fraud_share=0.01)  # as plans/history.json has it
CHANGING = SimulationSettings(seed=13, cards=700, fraud_share=0.012, change_day=37)  # as tests/e2e/test_loop.py has it
HISTORY_DAYS = 28
FIRST_LIVE_DAY = WORLD.first_day + timedelta(days=HISTORY_DAYS)
WATCHED = ("stream", "scoring", "archive", "monitor", "pipelines")
FIRING_SECONDS = 300.0
RESOLVED_SECONDS = 600.0


class TrafficThread(threading.Thread):
    """Transactions of one simulated day, repeated with new ids, at an adjustable rate."""

    def __init__(self, broker: KafkaConnection, rate: float) -> None:
        super().__init__(daemon=True)
        world = Simulation(WORLD)
        self._transactions = [world.day(number) for number in range(HISTORY_DAYS + 1)][-1].transactions
        self._writer, self.rate, self._stopping = LogWriter(broker), rate, threading.Event()

    def run(self) -> None:
        number, due, last = 0, 0.0, time.monotonic()
        while not self._stopping.wait(0.01):
            now = time.monotonic()
            due, last = due + (now - last) * self.rate, now
            for _ in range(int(due)):
                due -= 1
                self._send(self._transactions[number % len(self._transactions)])
                number += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        self._writer.flush()

    def _send(self, transaction: Transaction) -> None:
        fresh = structs.replace(transaction, transaction_id=uuid4().hex)
        self._writer.write(TRANSACTIONS, fresh.card_id, encode(fresh))


class MonitoredStack:
    """The running stack, and a Prometheus with the shipped rules."""

    def __init__(self, stack: LocalStack, url: str) -> None:
        self.stack, self.settings = stack, stack.settings
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10.0)

    def close(self) -> None:
        self._http.close()

    def firing(self) -> set[str]:
        """Return the firing alerts, by name and by name with severity."""
        alerts = self._http.get("/api/v1/alerts").raise_for_status().json()["data"]["alerts"]
        labels = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
        names = {each["alertname"] for each in labels}
        return names | {f"{each['alertname']} {each['severity']}" for each in labels}

    def value(self, query: str) -> float:
        """Return the current first value of an expression, 0 if it has none."""
        result = self._http.get("/api/v1/query", params={"query": query}).raise_for_status().json()["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def signal(self, name: str, number: int) -> None:
        """Send a signal to every process of the part, because workers lead other process groups."""
        leader = psutil.Process(self.stack.supervisor.pid(name))
        for process in (leader, *leader.children(recursive=True)):
            process.send_signal(number)

    def end_day(self, day: date, *, decided: bool) -> None:
        """End a day as a source does; a `decided` one is closed after its last decision."""
        ends = [{str(p): end for p, end in self.ends(topic).items()} for topic in (TRANSACTIONS, LABELS)]
        record = DayEmitted(day=day, transaction_ends=ends[0], label_ends=ends[1], decided=decided)
        publish_progress(self.settings.kafka, record)

    def ends(self, topic: str) -> dict[int, int]:
        return end_offsets(self.settings.kafka, topic)

    def is_all_decided(self) -> bool:
        """Whether the stream worker has committed all transactions that are written now."""
        ends = self.ends(TRANSACTIONS)
        with closing(OffsetReader(self.settings.kafka, STREAM_GROUP)) as offsets:
            return offsets.committed(TRANSACTIONS, list(ends)) == ends

    def write(self, topic: str, key: str, value: bytes) -> None:
        writer = LogWriter(self.settings.kafka)
        writer.write(topic, key, value)
        writer.flush()

    def write_in_wrong_partition(self, transaction: Transaction) -> None:
        partitioning, key = self.settings.partitioning, transaction.card_id.encode()
        right = partitioning.partition_of(key)
        assert right is not None
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap})
        producer.produce(TRANSACTIONS, encode(transaction), key, partition=(right + 1) % partitioning.partitions)
        assert producer.flush(30) == 0


def prometheus_part(stack: LocalStack, port: int, folder: Path) -> ProcessSpec:
    program = shutil.which("prometheus")
    if program is None:
        pytest.fail("Prometheus is not installed; on Debian and Ubuntu: apt install prometheus")
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["rule_files"] = [str(RULES / "rules" / "*.yml")]
    config["scrape_configs"] = [
        {"job_name": name, "static_configs": [{"targets": [stack.health_address(name).removeprefix("http://")]}]}
        for name in WATCHED
    ]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return ProcessSpec(
        name="prometheus",
        command=[
            program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ],
        environment={},
        ready=lambda: httpx.get(f"http://{LOOPBACK}:{port}/-/ready", trust_env=False).is_success,
    )  # fmt: skip


@pytest.fixture
def watching(tmp_path: Path) -> Callable[[Settings], AbstractContextManager[MonitoredStack]]:
    """Starts a monitored stack with its three servers; the test starts the services."""

    @contextmanager
    def start(settings: Settings) -> Iterator[MonitoredStack]:
        [port] = free_ports(1)
        with LocalStack(settings) as stack:
            stack.start("kafka", "mlflow", "prefect")
            folder = tmp_path / "prometheus"
            folder.mkdir()
            stack.supervisor.spawn([prometheus_part(stack, port, folder)])
            with closing(MonitoredStack(stack, f"http://{LOOPBACK}:{port}")) as watched:
                yield watched

    return start


@pytest.fixture
def expect_alerts(
    until: Callable[..., float], show: Callable[[object], None]
) -> Callable[..., AbstractContextManager[None]]:
    """Waits until alerts fire, runs the remedy, and waits until they are resolved."""

    @contextmanager
    def expect(
        watched: MonitoredStack, *alerts: str, keep_faulty: Callable[[], None] = lambda: None, resolves: bool = True
    ) -> Iterator[None]:
        """Run the remedy in the block, after the alerts fire. `keep_faulty` is called repeatedly until then."""
        begin, seconds = time.monotonic(), {}

        def fires(alert: str) -> bool:
            keep_faulty()
            return alert in watched.firing()

        for alert in alerts:
            until(f"{alert} fires", partial(fires, alert), FIRING_SECONDS)
            seconds[alert] = time.monotonic() - begin
            if not resolves:
                show(f"{alert:<30} fired after {seconds[alert]:4.0f} s")
        yield
        for alert, fired in seconds.items() if resolves else ():
            resolved = until(f"{alert} is resolved", lambda a=alert: a not in watched.firing(), RESOLVED_SECONDS)
            show(f"{alert:<30} fired after {fired:4.0f} s, resolved {resolved:4.0f} s after the remedy")

    return expect


def test_every_fault_fires_its_alert_and_every_remedy_resolves_it(
    tmp_path: Path,
    watching: Callable[[Settings], AbstractContextManager[MonitoredStack]],
    history: Callable[[Settings, date], None],
    expect_alerts: Callable[..., AbstractContextManager[None]],
    until: Callable[..., float],
) -> None:
    """History is archived; there is no champion yet."""
    with watching(read_settings({}, home=tmp_path / "home")) as watched:
        watched.stack.start("archive", "scoring", "pipelines", "monitor", "stream")
        watched.stack.run("generator", "services.generator", str(HERE / "plans" / "history.json"))
        history(watched.settings, FIRST_LIVE_DAY - timedelta(days=1))
        check_every_fault(watched, partial(expect_alerts, watched), until)


def test_a_lost_and_slow_store_fires_an_alert_and_is_filled_again(
    tmp_path: Path,
    watching: Callable[[Settings], AbstractContextManager[MonitoredStack]],
    history: Callable[[Settings, date], None],
    start_redis: Callable[..., tuple[str, Any]],
    expect_alerts: Callable[..., AbstractContextManager[None]],
    until: Callable[..., float],
) -> None:
    url, _ = start_redis()
    # Each partition of this small log is applied in one write, and a write takes three seconds at most.
    settings = read_settings({}, home=tmp_path / "home", store_url=Secret(url), partitions=16)
    with watching(settings) as watched:
        watched.stack.start("archive", "scoring", "stream")
        watched.stack.run("generator", "services.generator", str(HERE / "plans" / "history.json"))
        history(watched.settings, FIRST_LIVE_DAY - timedelta(days=1))
        watched.stack.supervisor.kill("stream")
        with closing(redis.Redis.from_url(url)) as store:
            store.flushdb()
            watched.stack.start("stream", wait=False)
            with expect_alerts(watched, "StoreBehind", keep_faulty=SlowWrites(store)):
                pass  # writes are fast again
            until("every card is in the store", lambda: watched.value("sum(cardwatch_stream_unapplied_records)") == 0)


def test_a_champion_that_cannot_be_replaced_fires_an_alert_until_the_policy_allows_promotion(
    tmp_path: Path,
    watching: Callable[[Settings], AbstractContextManager[MonitoredStack]],
    history: Callable[[Settings, date], None],
    expect_alerts: Callable[..., AbstractContextManager[None]],
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[promotion]\nminimum_gain = 1.0\n")
    plan = tmp_path / "plan.json"
    plan.write_bytes(
        msgspec.json.encode({"world": CHANGING, "history_days": 30, "live_days": 75, "wait_timeout_seconds": 900})
    )
    with watching(read_settings({}, home=tmp_path / "home", policy_file=policy)) as watched:
        watched.stack.start("archive")
        watched.stack.run("generator", "services.generator", str(plan))
        history(watched.settings, CHANGING.first_day + timedelta(days=29))
        watched.stack.start("pipelines", "scoring", "monitor")
        bootstrap(watched)
        watched.stack.start("stream")
        with closing(PrefectDeployments(watched.settings.prefect_url)) as deployments:
            crash = partial(crash_retrainings, deployments)
            with expect_alerts(watched, "RetrainingFailed", keep_faulty=crash, resolves=False):
                pass  # the alert resolves after an hour
        with expect_alerts(watched, "ModelDecayed"):
            policy.write_text("")


def check_every_fault(watched: MonitoredStack, expect_alerts: Callable[..., Any], until: Callable[..., float]) -> None:
    traffic = TrafficThread(watched.settings.kafka, 50.0)
    traffic.start()

    with expect_alerts("NoChampion", "DecisionsDegraded"):
        bootstrap(watched)

    traffic.rate = 600.0
    watched.signal("scoring", signal.SIGSTOP)
    # Late decisions remain in the warning's window of half an hour, so only the critical alert resolves soon.
    with expect_alerts("ProcessDown", "DecisionsDegraded", "LatencyBudgetBurning critical", "LagGrowing"):
        watched.signal("scoring", signal.SIGCONT)
        traffic.rate = 50.0

    callers = ShortDeadlineCallers(watched)
    with expect_alerts("ScoringRefuses"):
        callers.stop()

    watched.write(TRANSACTIONS, "card", b"this is no transaction")
    watched.write_in_wrong_partition(Simulation(WORLD).day(0).transactions[0])
    with expect_alerts("DeadLetters", "WrongPartition"):
        pass  # no further invalid record is sent

    restarts = 'changes(process_start_time_seconds{job="pipelines"}[10m])'
    for number in range(1, 4):
        watched.stack.supervisor.kill("pipelines")
        watched.stack.start("pipelines")
        until("the restart is scraped", lambda number=number: watched.value(restarts) >= number)
    with expect_alerts("ProcessRestarting"):
        pass  # no further restart

    watched.end_day(FIRST_LIVE_DAY + timedelta(days=4), decided=False)
    with expect_alerts("LabelsLate"):
        observed = datetime.combine(FIRST_LIVE_DAY + timedelta(days=4), datetime.min.time(), UTC)
        watched.write(LABELS, "card", encode(late_label(observed)))
        watched.end_day(FIRST_LIVE_DAY + timedelta(days=5), decided=False)

    watched.stack.supervisor.stop("stream")
    until("a transaction waits for its decision", lambda: not watched.is_all_decided())
    for number in range(3):
        watched.end_day(FIRST_LIVE_DAY + timedelta(days=6 + number), decided=True)
    with expect_alerts("ArchiveBehind", "ProcessDown"):
        watched.stack.start("stream")

    monitored = FIRST_LIVE_DAY + timedelta(days=10)
    watched.end_day(monitored, decided=True)
    until("a day is monitored", lambda: "cardwatch_monitor_day_timestamp_seconds 1" in metrics(watched, "monitor"))
    watched.stack.supervisor.kill("mlflow")
    for number in range(1, 8):
        watched.end_day(monitored + timedelta(days=number), decided=True)
    with expect_alerts("MonitorBehind", "ProcessNotReady"):
        watched.stack.start("mlflow")
    traffic.stop()


class SlowWrites:
    """Pauses writes of the store, with short gaps, whenever it is called; reads continue."""

    PAUSE_SECONDS, GAP_SECONDS = 3.0, 0.1

    def __init__(self, store: redis.Redis) -> None:
        self._store, self._next_pause = store, 0.0

    def __call__(self) -> None:
        if (now := time.monotonic()) >= self._next_pause:
            self._store.client_pause(int(self.PAUSE_SECONDS * 1_000), all=False)
            self._next_pause = now + self.PAUSE_SECONDS + self.GAP_SECONDS


def crash_retrainings(deployments: PrefectDeployments) -> None:
    """Mark running retrainings as crashed."""
    for run in deployments.runs("retrain/local"):
        if run.state.is_under_way:
            deployments.crash(run.run_id, "tried by a test")


def bootstrap(watched: MonitoredStack) -> None:
    with closing(PrefectDeployments(watched.settings.prefect_url)) as deployments:
        deployments.wait(deployments.run("bootstrap/local", {}), timeout_seconds=300.0)


def metrics(watched: MonitoredStack, name: str) -> str:
    return httpx.get(f"{watched.stack.health_address(name)}/metrics", trust_env=False).text


class ShortDeadlineCallers:
    """Callers with a deadline that the service cannot meet."""

    def __init__(self, watched: MonitoredStack) -> None:
        self._stopping = threading.Event()
        self._transaction = Simulation(WORLD).day(0).transactions[0]
        self._url = watched.settings.scoring_url
        self._headers = {"Authorization": f"Bearer {str.__str__(watched.settings.api_key)}", "X-Deadline-Ms": "1"}
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, trust_env=False) as http:
            while not self._stopping.wait(0.002):
                body = encode(structs.replace(self._transaction, transaction_id=uuid4().hex))
                http.post("/v1/score/batch", content=b"[" + b",".join([body] * 200) + b"]")


def late_label(observed: datetime) -> Label:
    return Label(
        transaction_id="unknown",
        card_id="card",
        merchant_id="m",
        is_fraud=False,
        effective_at=observed - timedelta(days=3),
        observed_at=observed,
        source=LabelSource.INVESTIGATOR,
    )
