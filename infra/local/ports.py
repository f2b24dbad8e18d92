"""TCP ports on the loopback interface."""

from __future__ import annotations

import socket
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
    with socket.socket() as probe:
        # A port that a stopped server left in TIME_WAIT is free: servers set this option too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortInUse(
                f"port {port} on {LOOPBACK}, asked for by {what}, is in use: stop who uses it or choose another"
            ) from error
    return port
