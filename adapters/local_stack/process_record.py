"""Record on disk of the processes that a stack has started, so that orphans can be found and ended."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from adapters.local_stack.process_tree import ProcessIdentity, end_sessions
from adapters.runtime.files import write_atomically
from cardwatch.errors import Misconfigured

GRACE_SECONDS: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""


class StackRecord(Struct, frozen=True, kw_only=True):
    """The process that owns a stack and, by name in start order, the processes that it has started."""

    owner: ProcessIdentity
    processes: dict[str, ProcessIdentity] = {}

    def write(self, file: Path) -> None:
        """Replace `file` atomically."""
        write_atomically(file, msgspec.json.encode(self))


def take_ownership(file: Path) -> StackRecord:
    """Make this process the owner of `file` after ending the processes that a killed owner left running.

    Of several concurrent callers one succeeds. Raises `Misconfigured` if the current owner is alive, or if the file
    cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            previous = read_record(file)
            if previous and previous.owner.alive:
                raise Misconfigured(
                    f"{file.parent} is in use by process {previous.owner.pid}: stop that process first, "
                    "or choose another folder in CARDWATCH_HOME"
                )
            end_processes(previous)
            record = StackRecord(owner=ProcessIdentity.of(os.getpid()))
            record.write(file)
    except OSError as error:
        raise Misconfigured(
            f"CARDWATCH_HOME={str(file.parent)!r} cannot be written ({error.strerror}): "
            "correct its permissions or choose another folder"
        ) from error
    return record


def read_record(file: Path) -> StackRecord | None:
    """Return the record in `file`, or None if it is missing or malformed."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None


def end_processes(record: StackRecord | None) -> None:
    """End the processes of `record` that are still running."""
    if record:
        end_sessions(record.processes.values(), grace_seconds=GRACE_SECONDS)
