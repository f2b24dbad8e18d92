"""A running system at small scale, and a Prometheus that watches one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import read_settings
from infra.local_stack.stack import LocalStack
from tests.deadlines import until
from tests.e2e.system import System, start_system

RULES = Path(__file__).resolve().parents[2] / "monitoring" / "prometheus"


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
        yield start_system(stack, traffic_seconds=traffic_seconds)


@pytest.fixture
def go() -> Callable[[System], None]:
    """Let the generator begin its fixed-rate phase: 150 transactions a second."""
    return System.begin_traffic


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
