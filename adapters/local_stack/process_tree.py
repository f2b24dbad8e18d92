"""Process trees: a started process with all its descendants, found by session.

Each process of the local stack leads its own session. Its process id is the session's id, and the system does not reuse
that id while a member of the session is alive, so descendants can be found after the leader's death.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import psutil
from msgspec import Struct


class ProcessIdentity(Struct, frozen=True):
    """A process id with the time of the process's start in seconds since 1970, which tells reused ids apart."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of the process that has `pid` now; its start is 0 if the process has just ended."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(pid, 0.0)

    @property
    def alive(self) -> bool:
        """Whether this process is running."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return self.matches(process) and _is_alive(process)
        return False

    def matches(self, process: Any) -> bool:
        """Whether `process` has this identity; a clock correction may move its start by up to two seconds."""
        return bool(process.pid == self.pid and abs(process.create_time() - self.created) < 2.0)


def session_members(leader: ProcessIdentity) -> list[Any]:
    """Return the living processes of the leader's session, the leader first, and all their descendants."""
    with suppress(psutil.NoSuchProcess):
        if not leader.matches(psutil.Process(leader.pid)):
            return []  # the id has been reused, which proves that no member of this session is alive
    session = [process for process in psutil.process_iter() if _session_id(process.pid) == leader.pid]
    session.sort(key=lambda process: process.pid != leader.pid)
    found = dict.fromkeys(session)
    for process in session:
        with suppress(psutil.NoSuchProcess):
            found.update(dict.fromkeys(process.children(recursive=True)))
    return [process for process in found if _is_alive(process)]


def memory_bytes(leader: ProcessIdentity, *, leader_only: bool = False) -> int:
    """Return the resident memory of the session's members in bytes; shared pages count for each process."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(leader.pid)] if leader_only else session_members(leader):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_info().rss
    return total


def end_sessions(leaders: Iterable[ProcessIdentity], *, grace_seconds: float | None) -> None:
    """Send SIGTERM to the leaders and, after `grace_seconds`, SIGKILL to every member that is still alive.

    With `grace_seconds=None` SIGKILL is sent immediately.
    """
    trees = {leader: session_members(leader) for leader in leaders}
    if grace_seconds is not None:
        roots = [tree[0] for tree in trees.values() if tree]
        for root in roots:
            with suppress(psutil.NoSuchProcess):
                root.terminate()
                root.resume()  # a stopped process does not handle SIGTERM
        psutil.wait_procs(roots, timeout=grace_seconds)
    remaining = {process for leader, tree in trees.items() for process in (*tree, *session_members(leader))}
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remaining, timeout=5.0)


def _is_alive(process: Any) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _session_id(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
