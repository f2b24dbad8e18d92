"""A Valkey or Redis server of our own, for as long as something is measured with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.retry import poll


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Its address on a free port, or None where there is none to start."""
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if server is None:
        yield None
        return
    [port] = free_ports(1)
    process = subprocess.Popen(
        [server, "--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        poll(lambda: _answers(port), timeout_seconds=10, poll_seconds=0.02)
        yield f"redis://{LOOPBACK}:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
