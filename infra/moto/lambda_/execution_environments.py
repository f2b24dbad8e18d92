"""Execution environments of Lambda functions: warm processes with one invocation at a time and a timeout."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from infra.moto.container_images import ContainerDisk
from infra.moto.lambda_.runtime import END, InvocationResult
from infra.moto.processes import Process, process_groups

INIT_SECONDS: Final = 60.0
"""Time limit for importing a handler. AWS allows 10 seconds and then retries; this machine may be shared."""

_LAST_LINE_SECONDS: Final = 1.0
"""Maximum time to wait for the last printed line of an invocation after its result."""


class FunctionImage(NamedTuple):
    """A function's code and configuration. An execution environment is reused only for an equal one."""

    function_arn: str
    handler: str
    code: str
    variables: tuple[tuple[str, str], ...]


class ExecutionEnvironment:
    """A process that has imported the handler. The first invocation starts it."""

    def __init__(self, image: FunctionImage) -> None:
        self.image = image
        self._disk = ContainerDisk("function")
        self._lines: list[str] = []
        self._log_complete = threading.Event()
        self._stream: Any = None
        self._process: Process | None = None

    def invoke(self, invocation: Mapping[str, Any]) -> InvocationResult:
        """Run one invocation. `alive` says afterwards whether the environment can take another one."""
        if (failed := self._start()) is not None:
            return failed
        seconds = invocation["timeout_ms"] / 1000.0
        self._log_complete.clear()
        self._stream.write(json.dumps(invocation).encode() + b"\n")
        self._stream.flush()
        result = self._await(seconds, f"Task timed out after {seconds:.2f} seconds", "Sandbox.Timedout")
        self._log_complete.wait(_LAST_LINE_SECONDS if self.alive else 0.0)
        lines, self._lines = self._lines, []
        return result._replace(log=os.linesep.join(lines))

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the process and delete its disk."""
        if self._process is not None:
            self._connection.close()
            process_groups.stop(self._process, grace_seconds=1.0)
        self._disk.remove()

    def _start(self) -> InvocationResult | None:
        """Start the process unless it is started. Return a failed result if the handler cannot be imported."""
        if self._process is not None:
            return None
        self._connection, remote = socket.socketpair()
        command = [sys.executable, "-m", "infra.moto.lambda_.runtime", self.image.handler, str(remote.fileno())]
        with remote:
            self._process = process_groups.start(
                command,
                self._disk.local_variables(dict(self.image.variables)),
                output=subprocess.PIPE,
                folder=self._disk.root,
                pass_fds=[remote.fileno()],
            )
        self._stream = self._connection.makefile("rwb")
        self._log_reader = threading.Thread(target=self._read_log, args=[self._process], daemon=True)
        self._log_reader.start()
        started = self._await(INIT_SECONDS, f"not imported after {INIT_SECONDS:.0f} seconds", "Runtime.InitTimedOut")
        if not started.failed:
            return None
        self.stop()
        return started

    def _await(self, seconds: float, timeout_message: str, timeout_type: str) -> InvocationResult:
        self._connection.settimeout(seconds)
        try:
            line = self._stream.readline()
        except TimeoutError:
            self.stop()
            return function_error(timeout_type, timeout_message)
        if not line:
            self.stop()
            self._log_reader.join(timeout=1.0)
            return function_error("Runtime.ExitError", "Runtime exited: " + (self._lines[-1] if self._lines else ""))
        return InvocationResult(**json.loads(line))

    def _read_log(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 (started with a pipe)
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            self._lines.append(line)
            if line.startswith(END):
                self._log_complete.set()


class EnvironmentPool:
    """The warm execution environments of all functions. Concurrent invocations each use one of their own."""

    def __init__(self) -> None:
        self._idle: list[ExecutionEnvironment] = []
        self._lock = threading.Lock()

    def invoke(self, image: FunctionImage, invocation: Mapping[str, Any]) -> InvocationResult:
        """Run an invocation in an idle environment of this image, or in a new one."""
        environment = self._take(image) or ExecutionEnvironment(image)
        result = environment.invoke(invocation)
        if environment.alive:
            with self._lock:
                self._idle.append(environment)
        return result

    def retire(self, outdated: Callable[[FunctionImage], bool]) -> None:
        """Stop the idle environments whose image is outdated."""
        with self._lock:
            retired = [environment for environment in self._idle if outdated(environment.image)]
            self._idle = [environment for environment in self._idle if environment not in retired]
        for environment in retired:
            environment.stop()

    def _take(self, image: FunctionImage) -> ExecutionEnvironment | None:
        self.retire(lambda other: other.function_arn == image.function_arn and other != image)
        with self._lock:
            found = next((environment for environment in self._idle if environment.image == image), None)
            if found is not None:
                self._idle.remove(found)
        return found if found is None or found.alive else None


def function_error(error_type: str, message: str) -> InvocationResult:
    """Return the result of an invocation that has not run the handler to its end."""
    return InvocationResult(json.dumps({"errorType": error_type, "errorMessage": message}), failed=True)
