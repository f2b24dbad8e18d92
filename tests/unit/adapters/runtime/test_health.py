from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from adapters.runtime.health import Health, serve_health
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.probe import probe
from adapters.runtime.settings import Settings
from cardwatch.errors import PortInUse


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock, stall_seconds=30.0)


@pytest.fixture
def expose(health: Health) -> Iterator[Callable[[], str]]:
    """Exposes it and gives the address; the gauge of readiness is forgotten at the end."""
    with ExitStack() as running:

        def start() -> str:
            [port] = free_ports(1)
            running.enter_context(serve_health(Settings(watch_port=port), health))
            return f"http://{LOOPBACK}:{port}"

        yield start
    REGISTRY.unregister(REGISTRY._names_to_collectors["cardwatch_ready"])


def get(url: str) -> tuple[int, Any]:
    response = httpx.get(url, trust_env=False)
    return response.status_code, response.json()


def test_a_process_is_alive_at_once_and_ready_only_when_it_says_so(expose: Callable[[], str], health: Health) -> None:
    url = expose()
    assert get(f"{url}/livez") == (200, {"status": "alive"})
    assert get(f"{url}/readyz") == (503, {"status": "waiting", "reason": "it has just been started"})
    health.ready()
    assert get(f"{url}/readyz") == (200, {"status": "ready"})
    health.waiting("no broker answers at kafka:9092")
    assert get(f"{url}/readyz") == (503, {"status": "waiting", "reason": "no broker answers at kafka:9092"})
    assert get(f"{url}/livez") == (200, {"status": "alive"})


def test_a_loop_that_stands_still_is_neither_alive_nor_ready(
    expose: Callable[[], str], health: Health, clock: Clock
) -> None:
    url = expose()
    health.ready()
    clock.seconds += 29.9
    assert get(f"{url}/livez")[0] == 200
    clock.seconds += 0.1
    status, said = get(f"{url}/livez")
    assert (status, said["status"]) == (503, "stalled")
    assert said["reason"] == "the main loop has stood still for 30 s, longer than 30 s"
    assert get(f"{url}/readyz")[0] == 503
    health.turn()
    assert get(f"{url}/readyz") == (200, {"status": "ready"})


def test_the_metrics_say_whether_it_is_ready(expose: Callable[[], str], health: Health) -> None:
    url = expose()
    assert "\ncardwatch_ready 0.0\n" in httpx.get(f"{url}/metrics", trust_env=False).text
    health.ready()
    assert "\ncardwatch_ready 1.0\n" in httpx.get(f"{url}/metrics", trust_env=False).text


def test_another_path_is_told_which_there_are(expose: Callable[[], str]) -> None:
    assert get(f"{expose()}/") == (404, {"error": "there is no /, only /livez, /readyz and /metrics"})


def test_whoever_wants_only_the_head_is_answered_with_the_same_status(
    expose: Callable[[], str], health: Health
) -> None:
    url = expose()
    for path, status in (("/livez", 200), ("/readyz", 503), ("/elsewhere", 404)):
        response = httpx.head(url + path, trust_env=False)
        assert (response.status_code, response.content) == (status, b"")


def test_a_caller_that_says_nothing_keeps_nobody_waiting(expose: Callable[[], str]) -> None:
    url = expose()
    with socket.create_connection((LOOPBACK, int(url.rpartition(":")[2]))):
        assert get(f"{url}/livez")[0] == 200


def test_a_port_that_is_taken_is_named(expose: Callable[[], str], health: Health) -> None:
    port = int(expose().rpartition(":")[2])
    REGISTRY.unregister(REGISTRY._names_to_collectors["cardwatch_ready"])
    with pytest.raises(PortInUse, match=f"CARDWATCH_WATCH_PORT={port} on {LOOPBACK}"):  # noqa: SIM117
        with serve_health(Settings(watch_port=port), health):
            pass


def test_without_a_port_nothing_is_exposed(health: Health) -> None:
    with serve_health(Settings(), health):
        assert "cardwatch_ready" not in REGISTRY._names_to_collectors


def test_the_probe_of_images_says_what_it_was_answered(expose: Callable[[], str], health: Health) -> None:
    url = expose()
    refusal = probe(f"{url}/readyz")
    assert refusal is not None
    assert refusal.startswith("503: ")
    assert json.loads(refusal[5:])["reason"] == "it has just been started"
    health.ready()
    assert probe(f"{url}/readyz") is None
    assert probe(f"http://{LOOPBACK}:{free_ports(1)[0]}/readyz") == "<urlopen error [Errno 111] Connection refused>"
