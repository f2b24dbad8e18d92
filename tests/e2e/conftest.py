"""A running system at small scale: real broker, registry, scoring service and archive, and a champion to score with."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.progress import ProgressReader, publish_progress
from adapters.kafka.topics import end_offsets
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, read_settings
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_maturity import end_of_day
from cardwatch.progress import Bootstrapped, DayArchived, DayEmitted, Progress
from cardwatch.promotion.gate import temporal_split
from cardwatch.registry import CHAMPION
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from infra.local_stack.servers import is_responding
from infra.local_stack.stack import LocalStack
from models.training import TrainingSettings
from pipelines.steps.fitting import fit_candidate, recent_rows
from pipelines.steps.training_set import assemble_training_set, replay_log

FIRST_DAY = date(2025, 1, 6)
HISTORY_DAYS = 16
CARDS = 300
RATE = 150
TIMEOUT_SECONDS = 120.0
RULES = Path(__file__).resolve().parents[2] / "monitoring" / "prometheus"


def until(what: str, reached: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
    """Poll for a state with a deadline."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


class System:
    """The running stack, with what tests ask of it."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.settings: Settings = stack.settings
        self.until = until

    def simulate(self, name: str, **plan: object) -> None:
        """Start a generator with this plan."""
        path = self.settings.home / f"{name}.json"
        world = SimulationSettings(seed=5, cards=CARDS, first_day=FIRST_DAY, fraud_share=0.02)
        path.write_bytes(msgspec.json.encode({"world": world, "live_days": 0, **plan}))
        self.stack.run(name, "services.generator", str(path))

    def wait_for(self, what: str, sought: Callable[[Progress], bool]) -> None:
        """Wait for a record of the topic `progress`, past ones included."""
        with closing(ProgressReader(self.settings.kafka)) as progress:

            def seen() -> bool:
                self.stack.supervisor.check()
                told = progress.poll(0.2)
                return told is not None and sought(told)

            until(what, seen)

    def publish(self, record: Progress) -> None:
        """Put a record on the topic `progress`."""
        publish_progress(self.settings.kafka, record)

    def ends(self, topic: str) -> dict[int, int]:
        """Where the topic's partitions end, under `read_committed`."""
        return end_offsets(self.settings.kafka, topic)

    def train_champion(self) -> None:
        """A champion out of the archived history, registered and served."""
        history = Archive(self.settings.archive)
        log = replay_log(history, ReferenceTableStore(self.settings.tables).all())
        chosen = temporal_split(log.last_day, first=log.first_day, maturity_days=2, evaluation_days=3, train_days=30)
        training = assemble_training_set(log, history.labels(end_of_day(log.last_day)), log.last_day, chosen)
        with tempfile.TemporaryDirectory() as folder:
            candidate = fit_candidate(training, recent_rows(log), Path(folder), TrainingSettings(trees=30, threads=1))
            version = MlflowTracking(self.settings.mlflow_url).log_model(
                candidate.folder, run_name="test", schema_hash=SCHEMA_HASH, fingerprint=candidate.fingerprint
            )
        with closing(MlflowRegistry(self.settings.mlflow_url)) as registry:
            registry.set_alias(CHAMPION, version)
        until("the champion is served", lambda: is_responding(f"{self.settings.scoring_url}/readyz"))

    def is_all_decided(self) -> bool:
        """Whether the stream worker has committed everything that is in the log now."""
        ends = self.ends(TRANSACTIONS)
        with closing(OffsetReader(self.settings.kafka, STREAM_GROUP)) as inquiry:
            committed = inquiry.committed(TRANSACTIONS, sorted(ends))
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    def archive_everything(self, day: date) -> None:
        """End `day` as a source does, and wait until the archive has closed it."""
        transactions, labels = ({str(p): end for p, end in self.ends(t).items()} for t in (TRANSACTIONS, "labels"))
        self.publish(DayEmitted(day=day, transaction_ends=transactions, label_ends=labels, decided=True))
        self.wait_for(f"{day} archived", lambda told: isinstance(told, DayArchived) and told.day == day)


@pytest.fixture
def traffic_seconds() -> int:
    """How long transactions come; a test file may say otherwise."""
    return 100


@pytest.fixture
def kafka_client() -> KafkaClient:
    """The client of all services; a test may say otherwise."""
    return KafkaClient.CONFLUENT


@pytest.fixture
def system(tmp_path: Path, traffic_seconds: int, kafka_client: KafkaClient) -> Iterator[System]:
    """History is archived, the champion is served, the stream's group stands at the end of history; no worker runs."""
    with LocalStack(read_settings({}, home=tmp_path / "home", kafka_client=kafka_client)) as stack:
        stack.start("kafka", "mlflow")
        running = System(stack)
        stack.start("archive", "scoring")
        running.simulate("generator", history_days=HISTORY_DAYS, rate_per_second=RATE, rate_seconds=traffic_seconds)
        last = FIRST_DAY + timedelta(days=HISTORY_DAYS - 1)
        running.wait_for("history archived", lambda told: isinstance(told, DayArchived) and told.day == last)
        running.train_champion()
        commit_offsets(stack.settings.kafka, STREAM_GROUP, TRANSACTIONS, running.ends(TRANSACTIONS))
        yield running


@pytest.fixture
def go() -> Callable[[System], None]:
    """Let the generator begin its fixed-rate phase: 150 transactions a second."""

    def begin(system: System) -> None:
        system.publish(Bootstrapped(day=FIRST_DAY, champion_version="1", average_precision=0.5))

    return begin


class Prometheus:
    """A running Prometheus with our rules, and what tests ask of it."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30.0)

    def close(self) -> None:
        self._client.close()

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their health."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def series(self, expr: str, *, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        """What an expression gave over a time, in seconds since 1970: of each series the labels and the samples."""
        return self._ask("query_range", query=expr, start=begin, end=end, step=step)["result"]  # type: ignore[no-any-return]

    def _ask(self, path: str, **parameters: object) -> Any:
        answer = self._client.get(f"/api/v1/{path}", params={name: str(value) for name, value in parameters.items()})
        assert answer.is_success, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def watch(
    require: Callable[[object, str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path], Prometheus]]:
    """Starts a Prometheus with our rules that looks every second at what a stack's file of targets names."""
    program = shutil.which("prometheus")
    require(program, "prometheus is not installed; on Debian and Ubuntu: apt install prometheus")
    with ExitStack() as running:

        def start(targets: Path) -> Prometheus:
            folder = tmp_path_factory.mktemp("prometheus")
            (folder / "prometheus.yml").write_text(yaml.safe_dump(every_second(targets)))
            [port] = free_ports(1)
            options = {
                "config.file": folder / "prometheus.yml",
                "storage.tsdb.path": folder / "data",
                "web.listen-address": f"{LOOPBACK}:{port}",
                "log.level": "warn",
            }
            command = [str(program), *(f"--{name}={value}" for name, value in options.items())]
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            running.callback(process.wait, timeout=10)
            running.callback(process.kill)
            prometheus = running.enter_context(closing(Prometheus(f"http://{LOOPBACK}:{port}")))
            until("Prometheus is ready", prometheus.is_ready)
            return prometheus

        yield start


def every_second(targets: Path) -> dict[str, Any]:
    """The configuration for a stack without containers, with everything at a pace for tests."""
    configuration: dict[str, Any] = yaml.safe_load((RULES / "embedded.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(RULES / "rules" / "*.yml")]
    [watched] = configuration["scrape_configs"]
    watched["file_sd_configs"] = [{"files": [str(targets)], "refresh_interval": "1s"}]
    return configuration
