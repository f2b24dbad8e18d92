"""A started process and everything that it started: found by session, ended as a whole.

Each process of the local stack leads a session of its own. Its process id is then the id of the session, which the
system gives to nobody else while a member lives: so children are found after their parent's death too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import psutil
from msgspec import Struct


class ProcessIdentity(Struct, frozen=True):
    """A process, not to be mistaken for a later one with the same id: `created` is its start, in seconds since 1970."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The identity of the process that has `pid` now; one that has just ended gets an identity that nobody has."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(pid, 0.0)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return self.names(process) and _lives(process)
        return False

    def names(self, process: Any) -> bool:
        """Whether `process` is the one meant; a corrected clock may have moved its start by a second since."""
        return bool(process.pid == self.pid and abs(process.create_time() - self.created) < 2.0)


def members(leader: ProcessIdentity) -> list[Any]:
    """The living processes of the session that `leader` leads or led, the leader first, and all their descendants."""
    with suppress(psutil.NoSuchProcess):
        if not leader.names(psutil.Process(leader.pid)):
            return []  # the id belongs to somebody else now, so nobody of this session is left
    session = [process for process in psutil.process_iter() if _session(process.pid) == leader.pid]
    session.sort(key=lambda process: process.pid != leader.pid)
    found = dict.fromkeys(session)
    for process in session:
        with suppress(psutil.NoSuchProcess):
            found.update(dict.fromkeys(process.children(recursive=True)))
    return [process for process in found if _lives(process)]


def memory_bytes(leader: ProcessIdentity, *, alone: bool = False) -> int:
    """What the processes of `members` hold in memory, or `leader` `alone`; what they share counts for each."""
    held = 0
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(leader.pid)] if alone else members(leader):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held += process.memory_info().rss
    return held


def end(leaders: Iterable[ProcessIdentity], *, grace_seconds: float | None) -> None:
    """End these sessions: SIGTERM to their leaders, and after `grace_seconds` SIGKILL to whoever still lives.

    None sends SIGKILL at once.
    """
    families = {leader: members(leader) for leader in leaders}
    if grace_seconds is not None:
        heads = [family[0] for family in families.values() if family]
        for head in heads:
            with suppress(psutil.NoSuchProcess):
                head.terminate()
                head.resume()  # one that was stopped could not end otherwise
        psutil.wait_procs(heads, timeout=grace_seconds)
    left = {process for leader, family in families.items() for process in (*family, *members(leader))}
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5.0)


def _lives(process: Any) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
