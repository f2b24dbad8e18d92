"""TCP ports on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from cardwatch.errors import PortInUse

LOOPBACK: Final = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return distinct free ports, chosen by the system."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def require_free(port: int, what: str) -> int:
    """Return `port` if it is free, else raise `PortInUse`. `what` names the setting that asks for it."""
    if not _is_free(port):
        raise PortInUse(f"port {port} on {LOOPBACK}, asked for by {what}, is in use: stop its user or choose another")
    return port


def choose_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """Return a distinct port per name: the wanted one if it is free, else (and for 0) one that the system chooses."""
    chosen = dict(zip(wanted, free_ports(len(wanted)), strict=True))
    for name, port in wanted.items():
        if port and port not in chosen.values() and _is_free(port):
            chosen[name] = port
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # With this option, which servers set too, a port in TIME_WAIT after a stopped server is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
