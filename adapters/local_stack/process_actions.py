"""What may be done to a process of the stack: kill, freeze and resume it, and freeze it for a time.

Only processes of the stack's own record are touched. The record has the start of each process beside its id, so an id
that the system has given to another process is refused.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
import psutil
from msgspec import Struct

from adapters.local_stack.process_tree import ProcessIdentity, session_members
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.files import write_atomically
from cardwatch.errors import Misconfigured

KILL: Final = "kill"
FREEZE: Final = "freeze"
RESUME: Final = "resume"
ACTIONS: Final = (KILL, FREEZE, RESUME)
FREEZE_SECONDS: Final = 20.0
"""How long a process is frozen by default."""
CONSOLE: Final = "console"
"""The process that resumes what was frozen for a time. It is not touched itself."""
_UNTOUCHED: Final = (CONSOLE, "bootstrap")


def may_touch(name: str) -> bool:
    """Whether actions on the process of this name are allowed."""
    return name not in _UNTOUCHED


def is_frozen(identity: ProcessIdentity) -> bool:
    """Whether the process stands still after SIGSTOP."""
    try:
        return bool(psutil.Process(identity.pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def act_on_process(home: StackHome, name: str, action: str) -> list[int]:
    """Kill, freeze or resume a process with all its descendants; return their ids, that of the process first.

    Raises `Misconfigured` for an unknown action, and for a process that does not run or is not this stack's.
    """
    if action not in ACTIONS:
        raise Misconfigured(f"there is no action {action!r:.40}, only {', '.join(ACTIONS)}")
    identity = _identity(home, name)
    if identity is None or not may_touch(name):
        raise Misconfigured(f"{name!r:.40} may not be touched: it is no process that this stack has started")
    if not identity.alive:
        raise Misconfigured(f"{name} does not run at the moment; the stack starts it again by itself")
    members = session_members(identity)
    for member in members:
        _send(member, action)
    return [identity.pid, *(member.pid for member in members if member.pid != identity.pid)]


def process_fault_of(name: str) -> tuple[str, str] | None:
    """Return action and process of the fault of this name, None if it is no fault of a process.

    >>> process_fault_of("freeze-stream-2")
    ('freeze', 'stream-2')
    """
    action, separator, process = name.partition("-")
    return (action, process) if separator and action in (KILL, FREEZE) else None


class Freeze(Struct, frozen=True):
    """A process that is frozen until `until_ms`, in ms since 1970."""

    process: ProcessIdentity
    until_ms: float


class TimedFreezes:
    """Processes of a stack that are frozen for a time, kept in a file beside its record.

    The console calls `resume_due` periodically, so a freeze also ends if the process that asked for it has exited. A
    lock on the file lets one process at a time change it.
    """

    def __init__(self, home: StackHome) -> None:
        self._home = home
        self._file = home.folder / "run" / "freezes.json"

    def freeze(self, name: str, until_ms: float) -> list[int]:
        """Freeze a process until then; return the ids of what was frozen. Raises what `act_on_process` raises."""
        with self._changing() as freezes:
            frozen = act_on_process(self._home, name, FREEZE)
            freezes[name] = Freeze(ProcessIdentity.of(frozen[0]), until_ms)
        return frozen

    def resume(self, name: str) -> None:
        """Resume a process, whoever has frozen it. Raises what `act_on_process` raises."""
        with self._changing() as freezes:
            freezes.pop(name, None)
            act_on_process(self._home, name, RESUME)

    def resume_due(self, now_ms: float) -> list[str]:
        """Resume those whose time is over, and return their names."""
        if not any(freeze.until_ms <= now_ms for freeze in self._read().values()):
            return []
        with self._changing() as freezes:
            # Looked for again: meanwhile another process may have frozen one of them for longer.
            due = [name for name, freeze in freezes.items() if freeze.until_ms <= now_ms]
            for name in due:
                freeze = freezes.pop(name)
                if freeze.process.alive:
                    for member in session_members(freeze.process):
                        _send(member, RESUME)
        return due

    def until_ms(self, name: str) -> float | None:
        """Return until when this process is frozen, None if it is not frozen for a time."""
        freeze = self._read().get(name)
        return freeze.until_ms if freeze is not None and is_frozen(freeze.process) else None

    def _read(self) -> dict[str, Freeze]:
        with suppress(FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Freeze])
        return {}

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Freeze]]:
        if self._home.record() is None:
            raise Misconfigured(f"no stack runs in {self._home.folder}; `cardwatch up` starts one")
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            freezes = self._read()
            yield freezes
            write_atomically(self._file, msgspec.json.encode(freezes))


def _identity(home: StackHome, name: str) -> ProcessIdentity | None:
    record = home.record()
    return None if record is None else record.processes.get(name)


def _send(member: Any, action: str) -> None:
    with suppress(psutil.NoSuchProcess):
        {KILL: member.kill, FREEZE: member.suspend, RESUME: member.resume}[action]()
