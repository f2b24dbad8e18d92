"""What a listener without TLS does with a TLS handshake, on sockets of this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest

from adapters.kafka import diagnosis
from adapters.kafka.diagnosis import ends_handshakes, speaks_tls


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A listener that does `answer` with its first connection, after it has read the client's first bytes."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                answer(connection)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[:2]
        thread.join(timeout=30)


def test_a_listener_that_closes_the_connection_or_answers_in_clear_ends_the_handshake() -> None:
    for answer in (lambda _: None, lambda connection: connection.sendall(b"\x00\x00\x00\x00 no TLS here")):
        with listener(answer) as (host, port):
            assert ends_handshakes(host, port)


def test_a_silent_listener_does_not_end_it_and_does_not_speak_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "PROBE_SECONDS", 0.2)
    for probe in (ends_handshakes, speaks_tls):
        with listener(lambda connection: connection.settimeout(5) or connection.recv(1)) as (host, port):
            assert not probe(host, port)
