"""Starts processes, waits until each is ready, notices deaths, and stops all of them, whatever happens to itself."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import Struct, structs

from cardwatch.errors import ProcessDied, Unavailable
from infra.local_stack.backoff import Backoff
from infra.local_stack.process_record import GRACE_SECONDS, claim
from infra.local_stack.process_tree import ProcessIdentity, end
from infra.local_stack.signals import undisturbed

_POLL_SECONDS: Final = 0.1
_TAIL_LINES: Final = 15

log = logging.getLogger(__name__)


def at_once() -> bool:
    """The readiness of a process that nobody waits for."""
    return True


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """How to start one process. `ready` is polled and raises nothing; `may_end`: ending with status 0 is no death."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool] = at_once
    ready_within_seconds: float = 120.0
    may_end: bool = False


class Supervisor:
    """The processes of one run, each in a session of its own, with its output in `home/logs/NAME.log`.

    What the run before has put there is kept as `NAME.log.1`.

    A context manager: leaving it, by whatever exception, stops everything, the last started first. If this process is
    killed, a keeper process does it; if that is killed too, the next supervisor of the same `home` and `record` does.
    Raises `Misconfigured` on entering if `home` cannot be written or is in use.
    """

    def __init__(self, home: Path, *, record: str = "stack.json", grace_seconds: float = GRACE_SECONDS) -> None:
        self._home = home.absolute()
        self._file = self._home / record
        self._grace_seconds = grace_seconds
        self._running: dict[str, tuple[ProcessSpec, subprocess.Popen[bytes]]] = {}
        self._logged: set[str] = set()
        self._backoffs: dict[str, Backoff] = {}

    def __enter__(self) -> Self:
        self._record = claim(self._file)
        (self._home / "logs").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "infra.local_stack.orphan_cleanup", str(self._file)]
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all. The keeper looks after what a second Ctrl-C in here leaves, so it is let go last."""
        self.stop(*reversed(self._running))
        self._file.unlink(missing_ok=True)
        self._keeper.communicate()

    def start(self, *parts: ProcessSpec) -> None:
        """Start these at the same time; return when all are ready.

        Raises `ProcessDied` as soon as one of them, or another process of this run, has ended, and `Unavailable` if one
        is not ready in time.
        """
        self.spawn(parts)
        self.await_ready(*(part.name for part in parts))

    def spawn(self, parts: Iterable[ProcessSpec]) -> None:
        """Start these without waiting, each as soon as `parts` yields it."""
        for part in parts:
            if part.name in self._running:
                raise ValueError(f"{part.name} runs already")
            self._backoffs[part.name] = Backoff(time.monotonic())
            self._begin(part)

    def await_ready(self, *names: str) -> None:
        """Return when all of these, started before, are ready; raises as `start` does."""
        begin = time.monotonic()
        waiting = [self._running[name][0] for name in names]
        while waiting := [part for part in waiting if not part.ready()]:
            self.check()
            for part in waiting:
                if time.monotonic() - begin > part.ready_within_seconds:
                    raise Unavailable(
                        f"{part.name} was not ready within {part.ready_within_seconds:g} s; the end of "
                        f"{self.log(part.name)}:\n{self._tail(part.name)}"
                    )
            time.sleep(_POLL_SECONDS)
        self.check()

    def check(self) -> None:
        """Raise `ProcessDied`, with the end of its log, if a process has ended by itself."""
        for name in self._running:
            if (how := self._death(name)) is not None:
                raise ProcessDied(f"{name} ended by itself {how}; the end of {self.log(name)}:\n{self._tail(name)}")

    def revive(self) -> list[str]:
        """Start again what has ended by itself, each after a pause, see `Backoff`; to be called again and again.

        What it has left behind is ended first. Gives the names of those that were started by this call; nobody waits
        until they are ready.
        """
        revived = []
        for name in self._running:
            if (how := self._death(name)) is None:
                continue
            backoff, now = self._backoffs[name], time.monotonic()
            if backoff.due_seconds is None:
                end([self._record.processes[name]], grace_seconds=None)
                how += self._last_words(name)
                log.warning("%s ended %s; it is started again in %g s", name, how, backoff.fell(now))
            elif now >= backoff.due_seconds:
                self._begin(self._running[name][0])
                backoff.started(now)
                revived.append(name)
        return revived

    def wait(self, name: str) -> None:
        """Wait for the end of a process that may end; raises `ProcessDied` if it fails or another dies meanwhile."""
        process = self._running[name][1]
        while process.poll() is None:
            self.check()
            time.sleep(_POLL_SECONDS)
        self.check()
        self.stop(name)

    def stop(self, *names: str) -> None:
        """Stop these one after another: SIGTERM, time to end, SIGKILL to the session. They may be started again."""
        for name in names:
            self._end(name, grace_seconds=self._grace_seconds)

    def kill(self, *names: str) -> None:
        """SIGKILL to the whole session of each, without warning. They may be started again."""
        for name in names:
            self._end(name, grace_seconds=None)

    def pid(self, name: str) -> int:
        """The process id of a running part."""
        return self._running[name][1].pid

    @property
    def names(self) -> list[str]:
        """What has been started and not been stopped, in the order of starting."""
        return list(self._running)

    def log(self, name: str) -> Path:
        """Where the output of `name` goes."""
        return self._home / "logs" / f"{name}.log"

    @property
    def done(self) -> list[str]:
        """What was allowed to end and has done so."""
        return [name for name, (part, process) in self._running.items() if part.may_end and process.poll() == 0]

    def _begin(self, part: ProcessSpec) -> None:
        with undisturbed():  # between the start and its record, an interruption would leave an orphan
            process = self._popen(part)
            self._running[part.name] = (part, process)
            self._remember({**self._record.processes, part.name: ProcessIdentity.of(process.pid)})

    def _death(self, name: str) -> str | None:
        """How a process has ended by itself, in words; None if it runs, or may end and has."""
        part, process = self._running[name]
        status = process.poll()
        if status is None or (part.may_end and status == 0):
            return None
        return f"by signal {-status}" if status < 0 else f"with status {status}"

    def _last_words(self, name: str) -> str:
        """What a process that ended with a status has said last; it is mostly why."""
        lines = [line.strip() for line in self._last_lines(name) if line.strip()]
        return f" ({lines[-1]})" if lines and (self._running[name][1].poll() or 0) > 0 else ""

    def _popen(self, part: ProcessSpec) -> subprocess.Popen[bytes]:
        file = self.log(part.name)
        if part.name not in self._logged:
            keep_previous(file)
            self._logged.add(part.name)
        with file.open("ab") as log:
            return subprocess.Popen(
                part.command,
                env=dict(part.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _end(self, name: str, *, grace_seconds: float | None) -> None:
        begin = time.monotonic()
        end([self._record.processes[name]], grace_seconds=grace_seconds)
        self._running.pop(name)[1].wait()
        log.debug("%s has ended after %.1f s", name, time.monotonic() - begin)
        self._remember({other: who for other, who in self._record.processes.items() if other != name})

    def _remember(self, processes: dict[str, ProcessIdentity]) -> None:
        self._record = structs.replace(self._record, processes=processes)
        self._record.write(self._file)

    def _tail(self, name: str) -> str:
        return "\n".join(f"    {line}" for line in self._last_lines(name)) or "    (empty)"

    def _last_lines(self, name: str) -> list[str]:
        with suppress(OSError), self.log(name).open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - 16_384))
            return log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        return []


def keep_previous(log: Path) -> None:
    """Make room for a new log; the one that is there becomes `NAME.log.1`."""
    with suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))
