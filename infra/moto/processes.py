"""Processes that stand in for containers: their environment variables, and their termination with the server."""

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

from adapters.runtime.ports import LOOPBACK
from adapters.runtime.settings import Settings, child_environment

Process = subprocess.Popen[bytes]

_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "OMP_WAIT_POLICY")
"""Environment variables of the server that containers inherit."""

_GRACE_SECONDS: Final = 5.0
"""Time between SIGTERM and SIGKILL in seconds."""


def environment(region: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return a container's environment: the local AWS, the inherited variables, and `variables`."""
    inherited = child_environment(Settings())
    return {
        **{name: inherited[name] for name in _INHERITED if name in inherited},
        "PYTHONUNBUFFERED": "1",
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{moto_server_port()}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        **variables,
    }


def local_command(command: Sequence[str]) -> list[str]:
    """Return the command of an image with `python` replaced by the interpreter of this process."""
    first, *rest = command
    return [sys.executable if first in ("python", "python3") else first, *rest]


class ProcessGroups:
    """Starts processes, each in its own process group, and terminates the running ones when the server exits.

    They stay in the server's session. A supervisor that terminates the session terminates them even if the server was
    killed.
    """

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        output: IO[bytes] | int,
        folder: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start `command` with exactly these `variables` in `folder`. stdout and stderr go to `output`.

        Raises `OSError` if the program does not exist, or if the server is shutting down.
        """
        with self._lock:
            if self._closed:
                raise OSError("the local AWS is shutting down: no process is started")
            process = subprocess.Popen(
                command,
                env=dict(variables),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                process_group=0,
            )
            self._running.add(process)
        return process

    def stop(self, process: Process, *, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Stop a process and its process group: SIGTERM, then SIGKILL after `grace_seconds`."""
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
        _signal_group(process, signal.SIGKILL)
        process.wait()
        with self._lock:
            self._running.discard(process)

    def stop_all(self) -> None:
        """Stop all processes, and refuse to start further ones."""
        with self._lock:
            self._closed, running = True, list(self._running)
        for process in running:
            _signal_group(process, signal.SIGTERM)
        for process in running:
            self.stop(process)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


process_groups: Final = ProcessGroups()
"""The processes of this server."""

atexit.register(process_groups.stop_all)
