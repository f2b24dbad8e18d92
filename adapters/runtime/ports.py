"""TCP ports on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from cardwatch.errors import PortInUse

LOOPBACK: Final = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment, chosen by the system."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def require_free(port: int, what: str) -> int:
    """`port` itself, or `PortInUse` if somebody listens on it; `what` says who wanted it."""
    if not _is_free(port):
        raise PortInUse(
            f"port {port} on {LOOPBACK}, asked for by {what}, is in use: stop who uses it or choose another"
        )
    return port


def choose_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """For each name its wanted port if that is free, else (and for 0) one that the system chooses; all different."""
    chosen = dict(zip(wanted, free_ports(len(wanted)), strict=True))
    for name, port in wanted.items():
        if port and port not in chosen.values() and _is_free(port):
            chosen[name] = port
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A port that a stopped server left in TIME_WAIT is free: servers set this option too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
