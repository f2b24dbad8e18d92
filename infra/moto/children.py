"""Processes that stand for containers: what they find in their environment, and that none outlives the server."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from moto.settings import moto_server_port

from adapters.runtime.settings import LOOPBACK, Settings, child_environment

Child = subprocess.Popen[bytes]

_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "OMP_WAIT_POLICY")
_GRACE_SECONDS: Final = 5.0


def endpoint_url() -> str:
    """Where this server is found by its children."""
    return f"http://{LOOPBACK}:{moto_server_port()}"


def environment(region: str, variables: Mapping[str, str]) -> dict[str, str]:
    """What a container finds: AWS as it is here, what every process needs, and `variables`; nothing else of ours."""
    machine = child_environment(Settings())
    return {
        **{name: machine[name] for name in _INHERITED if name in machine},
        "PYTHONUNBUFFERED": "1",
        "AWS_ENDPOINT_URL": endpoint_url(),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        **variables,
    }


def program(command: Sequence[str]) -> list[str]:
    """The command that an image would run, on this machine: its Python is ours."""
    first, *rest = command
    return [sys.executable if first in ("python", "python3") else first, *rest]


class Children:
    """Starts processes, each with a process group of its own, and ends those that are left when the server ends.

    They stay in the server's session: whoever started the server and finds it killed ends them with it.
    """

    def __init__(self) -> None:
        self._running: set[Child] = set()
        self._lock = threading.Lock()
        self._ending = False

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        output: IO[bytes] | int,
        folder: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start `command` with exactly these `variables` in `folder`; stdout and stderr go to `output`.

        Raises `OSError` if there is no such program, and once the server is ending.
        """
        with self._lock:
            if self._ending:
                raise OSError("the local AWS is ending: nothing is started any more")
            child = subprocess.Popen(
                command,
                env=dict(variables),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                process_group=0,
            )
            self._running.add(child)
        return child

    def stop(self, child: Child, *, grace_seconds: float = _GRACE_SECONDS) -> None:
        """End one and what it started: SIGTERM, and after `grace_seconds` SIGKILL."""
        if child.poll() is None:
            _signal_group(child, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(grace_seconds)
        _signal_group(child, signal.SIGKILL)
        child.wait()
        with self._lock:
            self._running.discard(child)

    def stop_all(self) -> None:
        """End all of them, and start none any more."""
        with self._lock:
            self._ending, left = True, list(self._running)
        for child in left:
            _signal_group(child, signal.SIGTERM)
        for child in left:
            self.stop(child)


def _signal_group(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


children: Final = Children()
"""Those of this server."""

atexit.register(children.stop_all)
