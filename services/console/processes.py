"""The processes of the stack: states, numbers, logs, and the only actions on them that the console can take.

Only processes of the stack's own record can be touched: the record has the start of each process beside its id, so an
id that the system has given to another process is refused.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import psutil

from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity, session_members
from adapters.local_stack.readiness import unready_reasons
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.runtime.addresses import without_userinfo
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import Misconfigured
from cardwatch.live.frames import BoxState
from services.console.boxes import ACTIONS, FREEZE, KILL, RESUME, ProcessObservation

OWN_BOX: Final = "console"
"""The console does not touch itself."""
_NOT_FOR_ACTIONS: Final = (OWN_BOX, "bootstrap")

_SIGNALS: Final = {KILL: "KILL", FREEZE: "STOP", RESUME: "CONT"}

log = logging.getLogger(__name__)


class WatchedProcesses(Protocol):
    """What the console watches: `StackProcesses`, or `services.console.containers.ContainerProcesses`."""

    def ask(self) -> dict[str, ProcessEndpoint]:
        """Ask all processes whether they are ready, and return those that were asked."""

    def observe(self) -> list[ProcessObservation]:
        """Return all processes as they are now, with their newest answers."""

    def act(self, name: str, action: str) -> None:
        """Kill, freeze or resume a process. Raises `Misconfigured` if it may not be touched."""

    def log_tail(self, name: str, lines: int) -> list[str]:
        """Return the last lines of a process' log."""


class _Answer(NamedTuple):
    """What the process with this id has answered: why it is not ready, None if it is."""

    pid: int | None
    reason: str | None


class StackProcesses:
    """The processes of the stack in `home`. Without a running stack there are none."""

    def __init__(self, home: StackHome, broker: KafkaConnection) -> None:
        self._home, self._broker = home, broker
        self._answers: dict[str, _Answer] = {}

    def ask(self) -> dict[str, ProcessEndpoint]:
        """Ask all processes whether they are ready, and return those that run; takes as long as the slowest answer."""
        record, status = self._home.record(), self._home.status()
        if record is None or status is None:
            return {}
        pids = {name: identity.pid for name, identity in record.processes.items() if identity.alive}
        frozen = {name for name in pids if _is_frozen(record.processes[name])}
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
        """Kill, freeze or resume a process with all its descendants.

        Raises `Misconfigured` for an unknown action, and for a process that does not run or is not this stack's.
        """
        if action not in ACTIONS:
            raise Misconfigured(f"there is no action {action!r:.40}, only {', '.join(ACTIONS)}")
        record = self._home.record()
        identity = None if record is None else record.processes.get(name)
        if identity is None or name in _NOT_FOR_ACTIONS:
            raise Misconfigured(f"the console may not touch {name!r:.40}: it is no process that this stack has started")
        if not identity.alive:
            raise Misconfigured(f"{name} does not run at the moment; the stack starts it again by itself")
        members = session_members(identity)
        for member in members:
            _send(member, action)
        log.info("audit: %s %s, process %d and its descendants, %d in all", action, name, identity.pid, len(members))

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
    elif _is_frozen(identity):
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
        commands={} if pid is None else {action: f"kill -{_SIGNALS[action]} {pid}" for action in ACTIONS},
    )


def _is_frozen(identity: ProcessIdentity) -> bool:
    try:
        return bool(psutil.Process(identity.pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _send(member: Any, action: str) -> None:
    with suppress(psutil.NoSuchProcess):
        {KILL: member.kill, FREEZE: member.suspend, RESUME: member.resume}[action]()
