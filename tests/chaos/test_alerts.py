"""Each alert tried as its page in docs/runbook says: the fault made, the alert seen firing, the remedy followed."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
import yaml
from msgspec import structs

from adapters.kafka import LABELS, TRANSACTIONS, LogWriter, publish_progress
from adapters.kafka_admin import end_offsets
from adapters.prefect_api import PrefectDeployments
from adapters.settings import Settings, read_settings
from cardwatch.events import Label, LabelSource, Transaction, encode
from cardwatch.progress import DayEmitted
from cardwatch.world.settings import WorldSettings
from cardwatch.world.world import World
from infra.local.ports import LOOPBACK, free_ports
from infra.local.stack import LocalStack
from infra.local.supervisor import Part

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_000)]

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "monitoring" / "prometheus"
WORLD = WorldSettings(seed=11, cards=1500, fraud_share=0.01)  # as plans/history.json has it
HISTORY_DAYS = 28
FIRST_LIVE_DAY = WORLD.first_day + timedelta(days=HISTORY_DAYS)
WATCHED = ("stream", "scoring", "archive", "monitor", "pipelines")
FIRES_SECONDS = 300.0
OVER_SECONDS = 600.0


class Traffic(threading.Thread):
    """Transactions of one day of the world, again and again under new ids, at a rate that may be changed."""

    def __init__(self, bootstrap: str, rate: float) -> None:
        super().__init__(daemon=True)
        world = World(WORLD)
        self._transactions = [world.day(number) for number in range(HISTORY_DAYS + 1)][-1].transactions
        self._writer, self.rate, self._stopping = LogWriter(bootstrap), rate, threading.Event()

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


class Watched:
    """The running stack, and the Prometheus that watches it by the very rules that we ship."""

    def __init__(self, stack: LocalStack, url: str) -> None:
        self.stack, self.settings = stack, stack.settings
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10.0)

    def firing(self) -> set[str]:
        alerts = self._http.get("/api/v1/alerts").raise_for_status().json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def value(self, query: str) -> float:
        """The first value of an expression now, 0 if it has none."""
        result = self._http.get("/api/v1/query", params={"query": query}).raise_for_status().json()["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def signal(self, name: str, number: int) -> None:
        """To every process of the part: its workers lead groups of their own."""
        leader = psutil.Process(self.stack.supervisor.pid(name))
        for process in (leader, *leader.children(recursive=True)):
            process.send_signal(number)

    def emit(self, day: date, *, decided: bool, beyond: int = 0) -> None:
        """End a day as a source does; `beyond`: at so many records of each partition that are not written yet."""
        ends = [
            {str(p): end + (beyond if topic == TRANSACTIONS else 0) for p, end in self.ends(topic).items()}
            for topic in (TRANSACTIONS, LABELS)
        ]
        record = DayEmitted(day=day, transaction_ends=ends[0], label_ends=ends[1], decided=decided)
        publish_progress(self.settings.kafka_bootstrap, record)

    def ends(self, topic: str) -> dict[int, int]:
        return end_offsets(self.settings.kafka_bootstrap, topic)

    def write(self, topic: str, key: str, value: bytes) -> None:
        writer = LogWriter(self.settings.kafka_bootstrap)
        writer.write(topic, key, value)
        writer.flush()


def prometheus_part(stack: LocalStack, port: int, folder: Path) -> Part:
    program = shutil.which("prometheus")
    if program is None:
        pytest.fail("Prometheus is not installed; on Debian and Ubuntu: apt install prometheus")
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["rule_files"] = [str(RULES / "rules" / "*.yml")]
    config["scrape_configs"] = [
        {"job_name": name, "static_configs": [{"targets": [stack.watched_at(name).removeprefix("http://")]}]}
        for name in WATCHED
    ]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return Part(
        name="prometheus",
        command=[
            program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ],
        environment={},
        ready=lambda: httpx.get(f"http://{LOOPBACK}:{port}/-/ready", trust_env=False).is_success,
    )  # fmt: skip


@pytest.fixture
def watched(tmp_path: Path, history: Callable[[Settings, date], None]) -> Iterator[Watched]:
    """History is archived; there is no champion yet."""
    [port] = free_ports(1)
    with LocalStack(read_settings({}, home=tmp_path / "home")) as stack:
        stack.start("kafka", "mlflow", "prefect")
        stack.start("archive", "scoring", "pipelines", "monitor", "stream")
        folder = tmp_path / "prometheus"
        folder.mkdir()
        stack.supervisor.spawn([prometheus_part(stack, port, folder)])
        stack.run("generator", "services.generator", str(HERE / "plans" / "history.json"))
        history(stack.settings, FIRST_LIVE_DAY - timedelta(days=1))
        yield Watched(stack, f"http://{LOOPBACK}:{port}")


def test_every_fault_is_noticed_and_every_remedy_ends_it(
    watched: Watched, until: Callable[..., float], say: Callable[[object], None]
) -> None:
    traffic = Traffic(watched.settings.kafka_bootstrap, 50.0)
    traffic.start()

    @contextmanager
    def trial(*alerts: str) -> Iterator[None]:
        """The fault has been made when this begins; the remedy is followed inside."""
        begin, seconds = time.monotonic(), {}
        for alert in alerts:
            until(f"{alert} fires", lambda alert=alert: alert in watched.firing(), FIRES_SECONDS)
            seconds[alert] = time.monotonic() - begin
        yield
        for alert, fired in seconds.items():
            over = until(f"{alert} is over", lambda a=alert: a not in watched.firing(), OVER_SECONDS)
            say(f"{alert:<22} fired after {fired:4.0f} s, over {over:4.0f} s after the remedy")

    with trial("NoChampion", "DecisionsDegraded"):
        bootstrap(watched)

    traffic.rate = 600.0
    watched.signal("scoring", signal.SIGSTOP)
    with trial("ProcessDown", "DecisionsDegraded", "LatencyBudgetBurning", "LagGrowing"):
        watched.signal("scoring", signal.SIGCONT)
        traffic.rate = 50.0

    with hurried_questions(watched), trial("ScoringRefuses"):
        pass

    watched.write(TRANSACTIONS, "card", b"this is no transaction")
    with trial("DeadLetters"):
        pass  # whoever sent it stops sending

    restarts = 'changes(process_start_time_seconds{job="pipelines"}[10m])'
    for number in range(1, 4):
        watched.stack.supervisor.kill("pipelines")
        watched.stack.start("pipelines")
        until("the restart is scraped", lambda number=number: watched.value(restarts) >= number)
    with trial("ProcessRestarting"):
        pass  # it has been left alone since

    watched.emit(FIRST_LIVE_DAY + timedelta(days=4), decided=False)
    with trial("LabelsLate"):
        observed = datetime.combine(FIRST_LIVE_DAY + timedelta(days=4), datetime.min.time(), UTC)
        watched.write(LABELS, "card", encode(late_label(observed)))
        watched.emit(FIRST_LIVE_DAY + timedelta(days=5), decided=False)

    for number in range(3):
        watched.emit(FIRST_LIVE_DAY + timedelta(days=6 + number), decided=False, beyond=8_000)
    with trial("ArchiveBehind"):
        traffic.rate = 600.0
    traffic.rate = 50.0

    monitored = FIRST_LIVE_DAY + timedelta(days=10)
    watched.emit(monitored, decided=True)
    until("a day is monitored", lambda: "cardwatch_monitor_day_timestamp_seconds 1" in metrics(watched, "monitor"))
    watched.stack.supervisor.kill("mlflow")
    for number in range(1, 8):
        watched.emit(monitored + timedelta(days=number), decided=True)
    with trial("MonitorBehind", "ProcessNotReady"):
        watched.stack.start("mlflow")
    traffic.stop()


def bootstrap(watched: Watched) -> None:
    with closing(PrefectDeployments(watched.settings.prefect_url)) as deployments:
        deployments.wait(deployments.run("bootstrap/local", {}), timeout_seconds=300.0)


def metrics(watched: Watched, name: str) -> str:
    return httpx.get(f"{watched.stack.watched_at(name)}/metrics", trust_env=False).text


@contextmanager
def hurried_questions(watched: Watched) -> Iterator[None]:
    """Callers that give the service less time than it needs, for as long as the block runs."""
    stopping = threading.Event()
    world = World(WORLD)
    transaction = world.day(0).transactions[0]
    headers = {"Authorization": f"Bearer {str.__str__(watched.settings.api_key)}", "X-Deadline-Ms": "1"}

    def ask() -> None:
        with httpx.Client(base_url=watched.settings.scoring_url, headers=headers, trust_env=False) as http:
            while not stopping.wait(0.002):
                body = encode(structs.replace(transaction, transaction_id=uuid4().hex))
                http.post("/v1/score/batch", content=b"[" + b",".join([body] * 200) + b"]")

    callers: list[Any] = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        stopping.set()
        for caller in callers:
            caller.join()


def late_label(observed: datetime) -> Label:
    return Label(
        transaction_id="nobody",
        card_id="card",
        merchant_id="m",
        is_fraud=False,
        effective_at=observed - timedelta(days=3),
        observed_at=observed,
        source=LabelSource.INVESTIGATOR,
    )
