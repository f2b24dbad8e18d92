"""The processes of the stack: states, numbers, logs, and the only actions on them that the console can take."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple, Protocol

from adapters.local_stack.process_actions import (
    FREEZE,
    KILL,
    RESUME,
    TimedFreezes,
    act_on_process,
    is_frozen,
)
from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.readiness import unready_reasons
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.runtime.addresses import without_userinfo
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.live.faults import off_command, on_command
from cardwatch.live.frames import BoxState
from services.console.boxes import ProcessObservation

LONGEST_FREEZE_SECONDS: Final = 600
"""After this time a process that was frozen from its box is resumed, if nobody has resumed it before."""

log = logging.getLogger(__name__)


class WatchedProcesses(Protocol):
    """What the console watches: `StackProcesses`, or `services.console.containers.ContainerProcesses`."""

    def ask(self) -> dict[str, ProcessEndpoint]:
        """Ask all processes whether they are ready, and return those that were asked."""

    def observe(self) -> list[ProcessObservation]:
        """Return all processes as they are now, with their newest answers."""

    def act(self, name: str, action: str) -> None:
        """Kill, freeze or resume a process. Raises `Misconfigured` if it may not be touched."""

    def freeze_until(self, name: str, until_ms: float) -> None:
        """Freeze a process until then. Raises `Misconfigured` if it may not be touched."""

    def frozen_until_ms(self, name: str) -> float | None:
        """Return until when a process is frozen, None if it is not, or if somebody else must resume it."""

    def resume_due(self) -> None:
        """Resume the processes whose time is over."""

    def log_tail(self, name: str, lines: int) -> list[str]:
        """Return the last lines of a process' log, none if it cannot be read from here."""

    def log_command(self, name: str) -> str:
        """Return the command that prints the log of a process."""


class _Answer(NamedTuple):
    """What the process with this id has answered: why it is not ready, None if it is."""

    pid: int | None
    reason: str | None


class StackProcesses:
    """The processes of the stack in `home`. Without a running stack there are none."""

    def __init__(self, home: StackHome, broker: KafkaConnection) -> None:
        self._home, self._broker, self._freezes = home, broker, TimedFreezes(home)
        self._answers: dict[str, _Answer] = {}

    def ask(self) -> dict[str, ProcessEndpoint]:
        """Ask all processes whether they are ready, and return those that run; takes as long as the slowest answer."""
        record, status = self._home.record(), self._home.status()
        if record is None or status is None:
            return {}
        pids = {name: identity.pid for name, identity in record.processes.items() if identity.alive}
        frozen = {name for name in pids if is_frozen(record.processes[name])}
        asked = {
            name: endpoint
            for name, endpoint in status.endpoints.items()
            if name not in frozen and (name in pids or name not in record.processes)
        }
        reasons = unready_reasons(asked, self._broker)
        # A frozen process cannot answer: once it is resumed, its last answer holds until the next one.
        kept = {name: answer for name, answer in self._answers.items() if name in frozen}
        self._answers = kept | {name: _Answer(pids.get(name), reason) for name, reason in reasons.items()}
        return asked

    def observe(self) -> list[ProcessObservation]:
        """Return all processes with an address as they are now, with their newest answers; takes a few ms."""
        record, status, answers = self._home.record(), self._home.status(), self._answers
        if record is None or status is None:
            return []
        return [_observation(name, record, status, answers.get(name)) for name in status.endpoints]

    def act(self, name: str, action: str) -> None:
        """Kill, freeze or resume a process with all its descendants. What is frozen is resumed after ten minutes.

        Raises `Misconfigured` for an unknown action, and for a process that does not run or is not this stack's.
        """
        if action == RESUME:
            self._freezes.resume(name)
            log.info("audit: resume %s", name)
            return
        if action == FREEZE:
            self.freeze_until(name, epoch_ms() + 1000.0 * LONGEST_FREEZE_SECONDS)
            return
        touched = act_on_process(self._home, name, action)
        log.info("audit: %s %s, process %d and its descendants, %d in all", action, name, touched[0], len(touched))

    def freeze_until(self, name: str, until_ms: float) -> None:
        """Freeze a process with all its descendants until then. Raises what `act` raises."""
        frozen = self._freezes.freeze(name, until_ms)
        seconds = (until_ms - epoch_ms()) / 1000.0
        log.info("audit: freeze %s for %.0f s, process %d and its descendants", name, seconds, frozen[0])

    def frozen_until_ms(self, name: str) -> float | None:
        """Return until when a process is frozen, None if it is not, or if somebody else must resume it."""
        return self._freezes.until_ms(name)

    def resume_due(self) -> None:
        """Resume the processes whose time is over."""
        for name in self._freezes.resume_due(epoch_ms()):
            log.info("%s is resumed: its time is over", name)

    def log_tail(self, name: str, lines: int) -> list[str]:
        """Return the last lines of a process' log, without addresses' userinfo; none if there is no such log."""
        status = self._home.status()
        if status is None or name not in status.endpoints:
            return []
        try:
            with self._home.log(name).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(file.tell() - lines * 400, 0))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [without_userinfo(line) for line in text.splitlines()[-lines:]]

    def log_command(self, name: str) -> str:
        """Return the command that prints the log of a process."""
        return f"cardwatch logs {name}"


def _observation(name: str, record: StackRecord, status: StackStatus, answer: _Answer | None) -> ProcessObservation:
    identity = record.processes.get(name)
    pid = identity.pid if identity is not None and identity.alive else None
    reason = answer.reason if answer else "it has not been asked yet"
    if name in status.finished:
        state, reason = BoxState.DONE, None
    elif identity is None:
        state = BoxState.EXTERNAL if reason is None else BoxState.DOWN
    elif pid is None:
        state, reason = BoxState.DOWN, "the process has ended; the stack starts it again"
    elif is_frozen(identity):
        state, reason = BoxState.FROZEN, "the process is stopped by SIGSTOP"
    elif answer is None or answer.pid != pid:
        state, reason = BoxState.STARTING, "it has just been started"
    elif reason is None:
        state = BoxState.READY
    else:
        state = BoxState.WAITING if status.ready else BoxState.STARTING
    return ProcessObservation(
        name=name,
        state=state,
        reason=None if reason is None else without_userinfo(reason),
        pid=pid,
        restarts=status.restarts.get(name, 0),
        address=without_userinfo(status.endpoints[name].address),
        commands={} if pid is None else _commands(name),
    )


def _commands(name: str) -> dict[str, str]:
    """Return the commands that do what `StackProcesses.act` does."""
    freeze = f"{FREEZE}-{name}"
    return {
        KILL: on_command(f"{KILL}-{name}"),
        FREEZE: f"{on_command(freeze)} --for {LONGEST_FREEZE_SECONDS}",
        RESUME: off_command(freeze),
    }
