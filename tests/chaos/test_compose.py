"""The compose file on the installed engine: started, used, each of its services killed, and removed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from adapters.kafka.topics import broker_answers, end_offsets
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError
from cardwatch.topics import DECISIONS
from cli.demo.topic_audit import audit_topics
from infra.compose import find_engine
from tests.chaos.compose_project import ComposeProject

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2_400)]

HERE = Path(__file__).parent
RATE = 200.0
CORE = ("kafka", "postgres", "valkey", "mlflow", "prefect", "pipelines", "scoring", "stream", "archive", "monitor")
WATCHED = ("pipelines", "stream", "archive", "monitor")
FIRST_DECISION_SECONDS = 90.0
IDLE_MEMORY_MB = 3_000
PUBLISHED = ("KAFKA_PORT", "MLFLOW_PORT", "PREFECT_PORT", "SCORING_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")


class Containers:
    """The running project, with checks from outside."""

    def __init__(self, compose: ComposeProject, ports: dict[str, int], key: str) -> None:
        self.compose, self.ports = compose, ports
        self.settings = Settings(kafka_bootstrap=f"localhost:{ports['KAFKA_PORT']}")
        self._key = key

    def answers(self, port: str, path: str) -> bool:
        url = f"http://{LOOPBACK}:{self.ports[port]}{path}"
        try:
            headers = {"Authorization": f"Bearer {self._key}"}
            return httpx.get(url, headers=headers, timeout=3.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def is_ready(self, service: str) -> bool:
        try:
            self.compose.run_in(service, "python", "-m", "adapters.runtime.probe", "http://127.0.0.1:9464/readyz")
        except CardwatchError:
            return False
        return True

    def succeeds(self, service: str, *command: str) -> bool:
        try:
            self.compose.run_in(service, *command)
        except CardwatchError:
            return False
        return True

    def decisions(self) -> int:
        try:
            return sum(end_offsets(self.settings.kafka_bootstrap, DECISIONS).values())
        except CardwatchError:
            return 0

    def kill(self, service: str) -> None:
        """Send SIGKILL to the container's main process, so that the restart policy restarts it."""
        os.kill(self.compose.pid(service), signal.SIGKILL)

    def scoring_workers(self) -> list[int]:
        bentoml = psutil.Process(self.compose.pid("scoring"))
        return [child.pid for child in bentoml.children() if "--worker-id" in command_of(child)]


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line, empty for a process that has just ended."""
    try:
        return process.cmdline()  # type: ignore[no-any-return]
    except psutil.NoSuchProcess:
        return []


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    engine = find_engine()
    if engine is None:
        pytest.fail("neither Docker with compose nor podman-compose is installed: nothing was tested")
    key = secrets.token_urlsafe(16)
    ports = dict(zip(PUBLISHED, free_ports(len(PUBLISHED)), strict=True))
    environment = {name: str(port) for name, port in ports.items()} | {"CARDWATCH_API_KEY": key}
    project = f"cardwatch-test-{secrets.token_hex(4)}"
    compose = ComposeProject(engine, project, environment, [HERE / "compose.yml"])
    compose.build()
    try:
        yield Containers(compose, ports, key)
    finally:
        for traffic in compose.containers("traffic"):  # its profile is unknown to `down`
            compose.run("rm", "-f", traffic)
        compose.down(volumes=True)


def test_smoke_a_champion_decides_minutes_after_the_first_start(
    containers: Containers, show: Callable[[object], None], until: Callable[..., float]
) -> None:
    begin = time.monotonic()
    containers.compose.up(profiles=["demo"])
    until("a first decision", lambda: containers.decisions() > 0, 300.0)
    show(f"first decision after {time.monotonic() - begin:.0f} s")
    until("a champion", lambda: containers.answers("SCORING_PORT", "/readyz"), 600.0)
    show(f"a champion after {time.monotonic() - begin:.0f} s")
    for service in WATCHED:
        until(f"{service} is ready", lambda service=service: containers.is_ready(service), 120.0)
    containers.compose.down(volumes=True)


def test_the_stack_starts_recovers_from_every_kill_and_is_removed_completely(
    containers: Containers,
    watch: Callable[[Settings], Any],
    settle: Callable[[Settings], None],
    show: Callable[[object], None],
    until: Callable[..., float],
) -> None:
    compose = containers.compose
    begin = time.monotonic()
    compose.up(profiles=["demo"])
    until("a first decision", lambda: containers.decisions() > 0, 600.0)
    first_decision = time.monotonic() - begin
    until("a champion", lambda: containers.answers("SCORING_PORT", "/readyz"), 600.0)
    champion = time.monotonic() - begin
    for service in WATCHED:
        until(f"{service} is ready", lambda service=service: containers.is_ready(service), 120.0)
    memory = {service: memory_mb(containers, service) for service in CORE}
    show(f"first decision after {first_decision:.0f} s, a champion after {champion:.0f} s")
    show(f"idle memory in MB: {memory}, in all {sum(memory.values())}")
    assert first_decision <= FIRST_DECISION_SECONDS
    assert sum(memory.values()) <= IDLE_MEMORY_MB

    watcher = watch(containers.settings)
    compose.up("traffic", profiles=["traffic"])
    until("traffic", lambda: watcher.is_steady(begin, RATE), 120.0)
    effects = []
    for victim, kill, is_back in victims(containers):
        effects.append(watcher.measure(victim, kill, is_back, RATE))
        show(effects[-1:])
    compose.run("stop", "--time", "30", compose.containers("traffic")[0])  # a kill would trigger a restart
    settle(containers.settings)
    counts = audit_topics(containers.settings, {})
    show(effects)
    show(counts)
    assert (counts.lost, counts.duplicates, counts.strays) == (0, 0, 0)
    assert counts.decisions + counts.repeats == counts.transactions
    script = (HERE / "compare.py").read_text()
    compared = json.loads(compose.run_in("pipelines", "python", "-", stdin=script, seconds=300.0))
    assert compared == {
        "decisions": counts.decisions,
        "transactions": counts.transactions,
        "features_that_differ": 0,
        "states_that_differ": 0,
    }

    compose.down(volumes=False)
    project = f"label=com.docker.compose.project={compose.project}"
    assert compose.run("ps", "-aq", "--filter", project) == ""
    assert len(volumes(compose)) > 5
    compose.down(volumes=True)
    assert volumes(compose) == []


def victims(containers: Containers) -> list[tuple[str, Callable[[], None], Callable[[], bool]]]:
    """Return the victims, each with its kill and the check of its restart."""
    workers = containers.scoring_workers()
    assert len(workers) == 2
    bootstrap = containers.settings.kafka_bootstrap

    def scoring_is_back() -> bool:
        return len(containers.scoring_workers()) == 2 and containers.answers("SCORING_PORT", "/readyz")

    def store_is_back() -> bool:
        return containers.succeeds("valkey", "valkey-cli", "ping") and containers.is_ready("stream")

    def database_is_back() -> bool:
        return (
            containers.answers("MLFLOW_PORT", "/api/2.0/mlflow/registered-models/get?name=cardwatch")
            and containers.answers("PREFECT_PORT", "/api/health")
            and containers.is_ready("archive")
            and containers.is_ready("pipelines")
        )

    def prefect_is_back() -> bool:
        return containers.answers("PREFECT_PORT", "/api/health") and containers.is_ready("pipelines")

    return [
        ("scoring worker", lambda: os.kill(workers[0], signal.SIGKILL), scoring_is_back),
        ("scoring", lambda: containers.kill("scoring"), scoring_is_back),
        ("stream worker", lambda: containers.kill("stream"), lambda: containers.is_ready("stream")),
        ("valkey", lambda: containers.kill("valkey"), store_is_back),
        ("postgres", lambda: containers.kill("postgres"), database_is_back),
        ("mlflow", lambda: containers.kill("mlflow"), lambda: containers.answers("MLFLOW_PORT", "/health")),
        ("prefect", lambda: containers.kill("prefect"), prefect_is_back),
        ("broker", lambda: containers.kill("kafka"), lambda: broker_answers(bootstrap)),
    ]


def memory_mb(containers: Containers, service: str) -> int:
    """Return the proportional set size of all processes of the service."""
    leader = psutil.Process(containers.compose.pid(service))
    tree = [leader, *leader.children(recursive=True)]
    return sum(int(process.memory_full_info().pss) for process in tree) >> 20


def volumes(compose: ComposeProject) -> list[str]:
    return [name for name in compose.run("volume", "ls", "-q").split() if name.startswith(compose.project)]
