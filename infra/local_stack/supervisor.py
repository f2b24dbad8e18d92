"""Supervisor of child processes: start, readiness, restart, and a stop even if the supervisor is killed."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final, Self

from msgspec import Struct, structs

from adapters.local_stack.process_record import GRACE_SECONDS, take_ownership
from adapters.local_stack.process_tree import ProcessIdentity, end_sessions
from adapters.runtime.retry import poll
from cardwatch.errors import ProcessDied, Unavailable
from infra.local_stack.backoff import Backoff
from infra.local_stack.signals import defer_signals

_TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 16_384

log = logging.getLogger(__name__)


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """How to start one process.

    `ready` is polled and must not raise; without it, the process is ready as soon as it runs. With `may_end`, an exit
    with status 0 is not a failure.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool] = lambda: True
    ready_within_seconds: float = 120.0
    may_end: bool = False


class Supervisor:
    """The processes of one run, each the leader of its own session, with its output in `home/logs/NAME.log`.

    The log of the previous run is kept as `NAME.log.1`.

    A context manager: leaving it stops all processes, the last started first. If this process is killed, a cleanup
    process stops them; if that is killed as well, the next supervisor of the same `home` and `record` does. Raises
    `Misconfigured` on entering if `home` cannot be written or is in use.
    """

    def __init__(self, home: Path, *, record: str = "stack.json", grace_seconds: float = GRACE_SECONDS) -> None:
        self._home = home.absolute()
        self._file = self._home / record
        self._grace_seconds = grace_seconds
        self._running: dict[str, tuple[ProcessSpec, subprocess.Popen[bytes]]] = {}
        self._logged: set[str] = set()
        self._backoffs: dict[str, Backoff] = {}

    def __enter__(self) -> Self:
        self._record = take_ownership(self._file)
        (self._home / "logs").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "infra.local_stack.orphan_cleanup", str(self._file)]
        self._cleanup = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop all processes. The cleanup process ends last, because a second Ctrl-C may interrupt this method."""
        self.stop(*reversed(self._running))
        self._file.unlink(missing_ok=True)
        self._cleanup.communicate()

    def start(self, *specs: ProcessSpec) -> None:
        """Start these processes concurrently and return when all are ready.

        Raises `ProcessDied` as soon as a process of this run has exited, and `Unavailable` if one is not ready in time.
        """
        self.spawn(specs)
        self.await_ready(*(spec.name for spec in specs))

    def spawn(self, specs: Iterable[ProcessSpec]) -> None:
        """Start these processes without waiting, each as soon as `specs` yields it."""
        for spec in specs:
            if spec.name in self._running:
                raise ValueError(f"{spec.name} runs already")
            self._backoffs[spec.name] = Backoff(time.monotonic())
            self._start_process(spec)

    def await_ready(self, *names: str) -> None:
        """Return when all of these started processes are ready; raises as `start` does."""
        begin = time.monotonic()
        waiting = [self._running[name][0] for name in names]

        def all_ready() -> bool:
            nonlocal waiting
            waiting = [spec for spec in waiting if not spec.ready()]
            self.check()
            for spec in waiting:
                if time.monotonic() - begin > spec.ready_within_seconds:
                    raise Unavailable(
                        f"{spec.name} was not ready within {spec.ready_within_seconds:g} s; the end of "
                        f"{self.log(spec.name)}:\n{self._log_excerpt(spec.name)}"
                    )
            return not waiting

        poll(all_ready, timeout_seconds=inf)

    def check(self) -> None:
        """Raise `ProcessDied`, with the end of its log, if a process has exited unexpectedly."""
        for name in self._running:
            if (reason := self._exit_reason(name)) is not None:
                raise ProcessDied(f"{name} {reason}; the end of {self.log(name)}:\n{self._log_excerpt(name)}")

    def restart_exited(self) -> list[str]:
        """Restart processes that have exited unexpectedly and return the names of those restarted by this call.

        Call it repeatedly: each process is restarted after a pause, see `Backoff`. Its remaining descendants are killed
        before the pause. The call does not wait for readiness.
        """
        restarted = []
        for name in self._running:
            if (reason := self._exit_reason(name)) is None:
                continue
            backoff, now = self._backoffs[name], time.monotonic()
            if backoff.due_seconds is None:
                end_sessions([self._record.processes[name]], grace_seconds=None)
                reason += self._last_log_line(name)
                log.warning("%s %s; it is restarted in %g s", name, reason, backoff.exited(now))
            elif now >= backoff.due_seconds:
                self._start_process(self._running[name][0])
                backoff.started(now)
                restarted.append(name)
        return restarted

    def wait(self, name: str) -> None:
        """Wait for the end of a process; raises `ProcessDied` if it or another process fails."""
        process = self._running[name][1]

        def has_ended() -> bool:
            ended = process.poll() is not None
            self.check()
            return ended

        poll(has_ended, timeout_seconds=inf)
        self.stop(name)

    def stop(self, *names: str) -> None:
        """Stop these processes one after the other: SIGTERM, grace period, SIGKILL. They may be started again."""
        for name in names:
            self._end(name, grace_seconds=self._grace_seconds)

    def kill(self, *names: str) -> None:
        """Send SIGKILL to the sessions of these processes. They may be started again."""
        for name in names:
            self._end(name, grace_seconds=None)

    def pid(self, name: str) -> int:
        """Return the process id of a running process."""
        return self._running[name][1].pid

    @property
    def names(self) -> list[str]:
        """Names of the processes that were started and not stopped, in start order."""
        return list(self._running)

    def log(self, name: str) -> Path:
        """Return the file that receives the output of `name`."""
        return self._home / "logs" / f"{name}.log"

    @property
    def finished(self) -> list[str]:
        """Names of the processes that may end and have ended with status 0."""
        return [name for name, (spec, process) in self._running.items() if spec.may_end and process.poll() == 0]

    def _start_process(self, spec: ProcessSpec) -> None:
        with defer_signals():  # an interruption between the start and the record would leave an orphan
            process = self._popen(spec)
            self._running[spec.name] = (spec, process)
            self._write_record({**self._record.processes, spec.name: ProcessIdentity.of(process.pid)})

    def _exit_reason(self, name: str) -> str | None:
        """Return how a process has exited unexpectedly; None if it runs or was allowed to end."""
        spec, process = self._running[name]
        status = process.poll()
        if status is None or (spec.may_end and status == 0):
            return None
        return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"

    def _last_log_line(self, name: str) -> str:
        """Return the last log line in parentheses if the process exited with a status; it usually has the cause."""
        lines = [line.strip() for line in self._log_tail(name) if line.strip()]
        return f" ({lines[-1]})" if lines and (self._running[name][1].poll() or 0) > 0 else ""

    def _popen(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        file = self.log(spec.name)
        if spec.name not in self._logged:
            rotate_log(file)
            self._logged.add(spec.name)
        with file.open("ab") as log:
            return subprocess.Popen(
                spec.command,
                env=dict(spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _end(self, name: str, *, grace_seconds: float | None) -> None:
        begin = time.monotonic()
        end_sessions([self._record.processes[name]], grace_seconds=grace_seconds)
        self._running.pop(name)[1].wait()
        log.debug("%s has ended after %.1f s", name, time.monotonic() - begin)
        self._write_record({other: who for other, who in self._record.processes.items() if other != name})

    def _write_record(self, processes: dict[str, ProcessIdentity]) -> None:
        self._record = structs.replace(self._record, processes=processes)
        self._record.write(self._file)

    def _log_excerpt(self, name: str) -> str:
        return "\n".join(f"    {line}" for line in self._log_tail(name)) or "    (empty)"

    def _log_tail(self, name: str) -> list[str]:
        with suppress(OSError), self.log(name).open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        return []


def rotate_log(log: Path) -> None:
    """Rename an existing log to `NAME.log.1`."""
    with suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))
