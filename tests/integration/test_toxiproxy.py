"""Network faults with the real Toxiproxy, between a client and a server that answers with what it receives."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from adapters.local_stack.network_faults import BROKER_DELAY_MS, PROXY, NetworkFaults, proxy_name
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.local_stack.toxiproxy import UPSTREAM, Toxic, Toxiproxy
from adapters.runtime.ports import LOOPBACK
from adapters.runtime.settings import HttpUrl, Settings, StoreUrl
from cardwatch.errors import CardwatchError, Unavailable
from infra.local_stack.stream_proxies import StreamProxies, find_toxiproxy
from infra.local_stack.supervisor import Supervisor

SHORT_SECONDS = 1.0
"""Within this time the server answers, and a fault is felt."""


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            for line in self.rfile:
                self.wfile.write(line)


class Forwarded:
    """A server behind three proxies, as if it were broker, scoring service and store, and what breaks them."""

    def __init__(self, home: StackHome, toxiproxy: Toxiproxy) -> None:
        self.faults, self.toxiproxy = NetworkFaults(home), toxiproxy
        self._connections: list[socket.socket] = []

    def connect(self, server: str) -> socket.socket:
        host, _, port = self.toxiproxy.proxies()[proxy_name("stream", server)].listen.rpartition(":")
        self._connections.append(socket.create_connection((host, int(port)), timeout=SHORT_SECONDS))
        return self._connections[-1]

    def close(self) -> None:
        for each in self._connections:
            each.close()


@pytest.fixture(scope="module")
def home(toxiproxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackHome]:
    """A stack of which only Toxiproxy runs."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"{LOOPBACK}:{server.server_address[1]}"
        stack = StackHome(Settings(home=tmp_path_factory.mktemp("home")))
        settings = Settings(
            home=stack.folder, scoring_url=HttpUrl(f"http://{address}"), store_url=StoreUrl(f"redis://{address}")
        )
        proxies = StreamProxies(find_toxiproxy(str(toxiproxy)), ["stream"], ["kafka", "scoring", "store"])
        with Supervisor(stack.folder) as supervisor:
            supervisor.start(proxies.process_spec(settings, [address]))
            endpoint = ProcessEndpoint(proxies.url, f"{proxies.url}/version")
            owner = ProcessIdentity.of(os.getpid())
            stack.write(StackStatus(owner=owner, environment={}, own_variables=[], endpoints={PROXY: endpoint}))
            yield stack
        server.shutdown()


@pytest.fixture
def forwarded(home: StackHome) -> Iterator[Forwarded]:
    status = home.status()
    assert status is not None
    with closing(Forwarded(home, Toxiproxy(status.endpoints[PROXY].address))) as forwarded:
        yield forwarded


def ask(connection: socket.socket) -> float:
    """Ask the server, and return the seconds until its answer. Raises `OSError` if there is none."""
    begin = time.monotonic()
    connection.sendall(b"are you there\n")
    if not connection.recv(100):
        raise ConnectionResetError("the connection was closed")
    return time.monotonic() - begin


def test_a_slow_connection_answers_late_and_is_fast_again_afterwards(forwarded: Forwarded) -> None:
    connection = forwarded.connect("kafka")
    assert ask(connection) < BROKER_DELAY_MS / 1000.0
    forwarded.faults.on("broker-slow", 0.0, 1e15)
    assert ask(connection) >= BROKER_DELAY_MS / 1000.0
    forwarded.faults.off("broker-slow", 1.0)
    assert ask(connection) < BROKER_DELAY_MS / 1000.0


@pytest.mark.parametrize(("name", "server"), [("broker-cut", "kafka"), ("scoring-cut", "scoring")])
def test_a_cut_closes_the_connection_and_refuses_another_until_it_ends(
    forwarded: Forwarded, name: str, server: str
) -> None:
    connection = forwarded.connect(server)
    ask(connection)
    address = connection.getpeername()
    forwarded.faults.on(name, 0.0, 1_000.0)
    with pytest.raises(OSError):
        ask(connection)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=SHORT_SECONDS)
    forwarded.faults.enforce(1_000.0)
    ask(forwarded.connect(server))


@pytest.mark.parametrize(("name", "server"), [("scoring-slow", "scoring"), ("store-silent", "store")])
def test_a_server_that_does_not_answer_in_time_keeps_its_connections(
    forwarded: Forwarded, name: str, server: str
) -> None:
    ask(forwarded.connect(server))
    forwarded.faults.on(name, 0.0, 1e15)
    with pytest.raises(TimeoutError):
        ask(forwarded.connect(server))
    forwarded.faults.off(name, 1.0)
    ask(forwarded.connect(server))


def test_what_toxiproxy_refuses_is_said_with_its_reason(forwarded: Forwarded) -> None:
    toxic = Toxic(name="x", kind="poison", stream=UPSTREAM, attributes={})
    with pytest.raises(CardwatchError, match="toxic type"):
        forwarded.toxiproxy.add_toxic("stream-to-kafka", toxic)


def test_a_toxiproxy_that_does_not_run_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer"):
        Toxiproxy("http://127.0.0.1:1").proxies()
