"""The compose file on the installed engine: started, used, each of its services killed, and removed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from adapters.kafka.topics import broker_answers, end_offsets
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError
from cardwatch.topics import DECISIONS
from cli.demo.topic_audit import audit_topics
from infra.compose import ROOT, find_engine
from tests.chaos.compose_project import HEALTHY_SECONDS, ComposeProject

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2_400)]

HERE = Path(__file__).parent
RATE = 200.0
CORE = ("kafka", "postgres", "valkey", "mlflow", "prefect", "pipelines", "scoring", "stream", "archive", "monitor")
SERVERS = ("kafka", "postgres", "valkey", "mlflow", "prefect")
WATCHED = ("pipelines", "stream", "archive", "monitor")
REACHABLE = [
    ("archive", "postgres", 5432, True),
    ("archive", "valkey", 6379, False),
    ("archive", "mlflow", 5000, False),
    ("archive", "prefect", 4200, False),
    ("archive", "scoring", 3000, False),
    ("monitor", "scoring", 3000, True),
    ("scoring", "valkey", 6379, True),
    ("scoring", "kafka", 9092, False),
    ("scoring", "postgres", 5432, False),
    ("mlflow", "postgres", 5432, True),
    ("mlflow", "kafka", 9092, False),
]
"""Caller, called service, port, and whether the connection is possible."""
FIRST_DECISION_SECONDS = 90.0
IDLE_MEMORY_MB = 3_000
PUBLISHED = ("KAFKA_PORT", "MLFLOW_PORT", "PREFECT_PORT", "SCORING_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")


class Containers:
    """The running project, with checks from outside."""

    def __init__(self, compose: ComposeProject, ports: dict[str, int], key: str, grafana_password: str) -> None:
        self.compose, self.ports, self.grafana_password = compose, ports, grafana_password
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

    def connects(self, caller: str, called: str, port: int) -> bool:
        """Whether a process in a container of ours reaches the port of another service by its name."""
        script = f"import socket; socket.create_connection(({called!r}, {port}), 3.0).close()"
        return self.succeeds(caller, "python", "-c", script)

    def scraped(self) -> set[str]:
        """Return the jobs of Prometheus whose targets it can read."""
        url = f"http://{LOOPBACK}:{self.ports['PROMETHEUS_PORT']}/api/v1/targets"
        targets = httpx.get(url, timeout=3.0, trust_env=False).json()["data"]["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}

    def admin_logs_in(self, password: str) -> bool:
        """Whether Grafana accepts the password for its user `admin`."""
        url = f"http://{LOOPBACK}:{self.ports['GRAFANA_PORT']}/api/org"
        return httpx.get(url, auth=("admin", password), timeout=10.0, trust_env=False).is_success

    def decisions(self) -> int:
        try:
            return sum(end_offsets(self.settings.kafka, DECISIONS).values())
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
def containers(request: pytest.FixtureRequest) -> Iterator[Containers]:
    engine = find_engine()
    if engine is None:
        pytest.fail("neither Docker with compose nor podman-compose is installed: nothing was tested")
    key, grafana_password = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    ports = dict(zip(PUBLISHED, free_ports(len(PUBLISHED)), strict=True))
    environment = {name: str(port) for name, port in ports.items()}
    environment |= {"CARDWATCH_API_KEY": key, "GRAFANA_PASSWORD": grafana_password}
    project = f"cardwatch-test-{secrets.token_hex(4)}"
    compose = ComposeProject(engine, project, environment, [HERE / "compose.yml"])
    compose.build()
    try:
        yield Containers(compose, ports, key, grafana_password)
    finally:
        if request.session.testsfailed:  # the containers are removed below, and their logs with them
            sys.stderr.write(f"errors in the logs of the containers:\n{compose.errors()}\n")
        for traffic in compose.containers("traffic"):  # its profile is unknown to `down`
            compose.run("rm", "-f", traffic)
        compose.down(volumes=True)


def test_smoke_the_core_is_healthy_without_traffic_and_a_champion_decides_minutes_after_history(
    containers: Containers, show: Callable[[object], None], until: Callable[..., float]
) -> None:
    compose = containers.compose
    begin = time.monotonic()
    compose.up(wait=True)
    all_healthy(containers, CORE, until)
    show(f"the core is healthy {time.monotonic() - begin:.0f} s after the first start")
    assert containers.decisions() == 0
    assert not containers.answers("SCORING_PORT", "/readyz"), "healthy is not ready: there is no champion yet"
    for caller, called, port, allowed in REACHABLE:
        assert containers.connects(caller, called, port) is allowed, f"{caller} -> {called}"
    show(f"healthy without all servers, {without_servers(containers, until):.0f} s after they were stopped")

    begin = time.monotonic()
    observability = [
        name for name, image in compose.images_of_profile("observability").items() if compose.can_run(image)
    ]
    show(f"of the profile observability are tested: {', '.join(observability) or 'none'}")
    compose.up(*observability, *compose.images_of_profile("demo"), profiles=["demo", "observability"])
    all_healthy(containers, ["generator", *observability], until)
    until("a first decision", lambda: containers.decisions() > 0, 300.0)
    show(f"first decision after {time.monotonic() - begin:.0f} s")
    until("a champion", lambda: containers.answers("SCORING_PORT", "/readyz"), 600.0)
    show(f"a champion after {time.monotonic() - begin:.0f} s")
    for service in WATCHED:
        until(f"{service} is ready", lambda service=service: containers.is_ready(service), 120.0)
    if "prometheus" in observability:
        until("Prometheus scrapes every service", lambda: containers.scraped() >= {*WATCHED, "scoring"}, 60.0)
    if "grafana" in observability:
        assert containers.admin_logs_in(containers.grafana_password)
        assert not containers.admin_logs_in("admin")
    all_healthy(containers, [*CORE, *observability], until)
    limits = pids_limits()
    threads = {service: thread_count(containers, service) for service in (*CORE, *observability)}
    show(f"threads: {threads}")
    assert [service for service, count in threads.items() if count > limits[service] / 2] == []
    compose.down(volumes=True)


def without_servers(containers: Containers, until: Callable[..., float]) -> float:
    """Stop the servers, check that the services notice it and stay healthy, and start the servers again.

    Returns the seconds until all were seen.
    """
    begin = time.monotonic()
    stopped = [containers.compose.containers(server)[0] for server in SERVERS]
    containers.compose.run("stop", "--time", "10", *stopped, seconds=120.0)
    for service in WATCHED:
        until(f"{service} waits", lambda service=service: not containers.is_ready(service), 120.0)
    all_healthy(containers, (*WATCHED, "scoring"), until)
    seconds = time.monotonic() - begin
    containers.compose.run("start", *stopped)
    all_healthy(containers, CORE, until)
    return seconds


def all_healthy(containers: Containers, services: Iterable[str], until: Callable[..., float]) -> None:
    """Run the own health check of each service until it passes."""
    reasons: dict[str, str | None] = {}

    def is_healthy(service: str) -> bool:
        reasons[service] = containers.compose.why_unhealthy(service)
        return reasons[service] is None

    for service in services:
        try:
            until(f"{service} is healthy", lambda service=service: is_healthy(service), HEALTHY_SECONDS)
        except AssertionError as error:
            pytest.fail(f"{error}: {reasons.get(service)}")


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
    bootstrap = containers.settings.kafka

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


def thread_count(containers: Containers, service: str) -> int:
    """Return the number of threads of all processes of the service, which `pids_limit` counts."""
    leader = psutil.Process(containers.compose.pid(service))
    return sum(process.num_threads() for process in [leader, *leader.children(recursive=True)])


def pids_limits() -> dict[str, int]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {name: service["pids_limit"] for name, service in services.items()}


def volumes(compose: ComposeProject) -> list[str]:
    return [name for name in compose.run("volume", "ls", "-q").split() if name.startswith(compose.project)]
