"""Execution environments of Lambda functions: kept warm, one invocation at a time, ended when they take too long."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from infra.moto.children import Child, children
from infra.moto.images import Disk
from infra.moto.runtime import END

INIT_SECONDS: Final = 60.0
"""AWS gives a function ten seconds to be imported, and then tries again within its time-out; this machine is shared."""

_LAST_LINE_SECONDS: Final = 1.0


class Outcome(NamedTuple):
    """What an invocation gave: JSON as text, and whether it is an error. `log`: what the function has printed."""

    payload: str
    failed: bool
    log: str = ""


class Recipe(NamedTuple):
    """All that an execution environment is made of. One made of another recipe is of no use."""

    function_arn: str
    handler: str
    code: str
    variables: tuple[tuple[str, str], ...]


class Container:
    """A process with the handler imported. Starts with the first invocation."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._disk = Disk("function")
        self._lines: list[str] = []
        self._all_said = threading.Event()
        self._stream: Any = None
        self._child: Child | None = None

    def invoke(self, invocation: Mapping[str, Any]) -> Outcome:
        """Let the handler answer. `fit` says afterwards whether another one may follow."""
        if (failed := self._start()) is not None:
            return failed
        seconds = invocation["timeout_ms"] / 1000.0
        self._all_said.clear()
        self._stream.write(json.dumps(invocation).encode() + b"\n")
        self._stream.flush()
        outcome = self._await(seconds, f"Task timed out after {seconds:.2f} seconds", "Sandbox.Timedout")
        self._all_said.wait(_LAST_LINE_SECONDS if self.fit else 0.0)
        lines, self._lines = self._lines, []
        return outcome._replace(log=os.linesep.join(lines))

    @property
    def fit(self) -> bool:
        """Whether it can take a further invocation."""
        return self._child is not None and self._child.poll() is None

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            self._connection.close()
            children.stop(self._child, grace_seconds=1.0)
        self._disk.remove()

    def _start(self) -> Outcome | None:
        if self._child is not None:
            return None
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-m", "infra.moto.runtime", self.recipe.handler, str(theirs.fileno())]
        with theirs:
            self._child = children.start(
                command,
                self._disk.variables(dict(self.recipe.variables)),
                output=subprocess.PIPE,
                folder=self._disk.root,
                pass_fds=[theirs.fileno()],
            )
        self._stream = self._connection.makefile("rwb")
        self._reader = threading.Thread(target=self._collect, args=[self._child], daemon=True)
        self._reader.start()
        begun = self._await(INIT_SECONDS, f"not imported after {INIT_SECONDS:.0f} seconds", "Runtime.InitTimedOut")
        if not begun.failed:
            return None
        self.stop()
        return begun

    def _await(self, seconds: float, too_late: str, error_type: str) -> Outcome:
        self._connection.settimeout(seconds)
        try:
            line = self._stream.readline()
        except TimeoutError:
            self.stop()
            return self._error(error_type, too_late)
        if not line:
            self.stop()
            self._reader.join(timeout=1.0)
            return self._error("Runtime.ExitError", "Runtime exited: " + (self._lines[-1] if self._lines else ""))
        told = json.loads(line)
        return Outcome(told["payload"], told["failed"])

    def _error(self, error_type: str, message: str) -> Outcome:
        return Outcome(json.dumps({"errorType": error_type, "errorMessage": message}), True)

    def _collect(self, child: Child) -> None:
        assert child.stdout is not None  # noqa: S101 (it was asked for)
        for line in child.stdout:
            said = line.decode(errors="replace").rstrip("\n")
            self._lines.append(said)
            if said.startswith(END):
                self._all_said.set()


class Containers:
    """The warm containers of all functions. As many run at a time as there are invocations at a time."""

    def __init__(self) -> None:
        self._idle: list[Container] = []
        self._lock = threading.Lock()

    def invoke(self, recipe: Recipe, invocation: Mapping[str, Any]) -> Outcome:
        """Let a container of this recipe answer: one that is idle, else a new one."""
        container = self._take(recipe) or Container(recipe)
        outcome = container.invoke(invocation)
        if container.fit:
            with self._lock:
                self._idle.append(container)
        return outcome

    def retire(self, unwanted: Callable[[Recipe], bool]) -> None:
        """End the idle ones whose recipe is unwanted."""
        with self._lock:
            ended = [container for container in self._idle if unwanted(container.recipe)]
            self._idle = [container for container in self._idle if container not in ended]
        for container in ended:
            container.stop()

    def _take(self, recipe: Recipe) -> Container | None:
        self.retire(lambda other: other.function_arn == recipe.function_arn and other != recipe)
        with self._lock:
            found = next((container for container in self._idle if container.recipe == recipe), None)
            if found is not None:
                self._idle.remove(found)
        return found if found is None or found.fit else None
