"""Connections that send no request are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from services.scoring.http.timeout_protocol import SWEEP_SECONDS, TIMEOUT_SECONDS, TimeoutProtocol
from tests.unit.services.scoring.worker import (
    Clock,
)

KEEP_ALIVE_SECONDS = 75


class Timers:
    """The part of an event loop that the protocol uses: timers, which the test runs."""

    def __init__(self) -> None:
        self.set: list[Callable[[], None]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == SWEEP_SECONDS
        self.set.append(call)

    def run(self) -> None:
        due, self.set = self.set, []
        for call in due:
            call()


class Transport(asyncio.Transport):
    """A transport that records whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def is_closing(self) -> bool:
        return not self.is_open


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[TimeoutProtocol, Transport]]:
    monkeypatch.setattr(TimeoutProtocol, "_is_sweeping", False)
    config, state = Config(app=lambda: None, log_config=None, timeout_keep_alive=KEEP_ALIVE_SECONDS), ServerState()
    config.load()

    def connected() -> tuple[TimeoutProtocol, Transport]:
        protocol, transport = TimeoutProtocol(config, state, {}, _loop=timers), Transport()  # type: ignore[arg-type]
        protocol.connection_made(transport)
        return protocol, transport

    timers = connected.timers = Timers()  # type: ignore[attr-defined]
    return connected


def test_a_connection_without_a_request_is_closed_after_the_timeout(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("services.scoring.http.timeout_protocol.time.perf_counter", clock)
    first, _ = connect()
    clock.now += SWEEP_SECONDS
    connect.timers.run()
    first.connection_lost(None)
    clock.now += SWEEP_SECONDS
    connect.timers.run()
    assert connect.timers.set == []

    clock.now += 0.1
    _, transport = connect()
    for _ in range(int(TIMEOUT_SECONDS / SWEEP_SECONDS) + 1):
        assert transport.is_open
        clock.now += SWEEP_SECONDS
        connect.timers.run()
    assert not transport.is_open


def test_a_connection_is_closed_when_it_was_idle_for_the_keep_alive_timeout_after_a_response(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("services.scoring.http.timeout_protocol.time.perf_counter", clock)
    idle, closed = connect()
    busy, open_ = connect()
    for protocol in (idle, busy):
        protocol.receiving_since = None
        protocol.on_response_complete()
    assert idle.timeout_keep_alive == KEEP_ALIVE_SECONDS > TIMEOUT_SECONDS
    clock.now += KEEP_ALIVE_SECONDS - 1.0
    busy.on_message_begin()
    connect.timers.run()
    assert closed.is_open
    clock.now += 1.1
    connect.timers.run()
    assert (closed.is_open, open_.is_open) == (False, True)


def test_there_is_one_sweep_however_many_connections_and_delays_there_are(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("services.scoring.http.timeout_protocol.time.perf_counter", clock)
    for _ in range(20):
        connect()
        clock.now += 3 * SWEEP_SECONDS
        connect()
        assert len(connect.timers.set) == 1
        connect.timers.run()
