"""What a running stack has started, on disk: so that nothing it leaves behind outlives it for long."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cardwatch.errors import Misconfigured
from infra.local_stack.process_tree import ProcessIdentity, end

GRACE_SECONDS: Final = 10.0


class StackRecord(Struct, frozen=True, kw_only=True):
    """The process that owns a stack, and by name the processes that it has started, in order."""

    owner: ProcessIdentity
    processes: dict[str, ProcessIdentity] = {}

    def write(self, file: Path) -> None:
        """Replace `file` as a whole: a reader never sees half a record."""
        aside = file.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(self))
        aside.replace(file)


def claim(file: Path) -> StackRecord:
    """Make this process the owner of `file`, after ending what a killed owner has left running.

    Of several that claim it at the same time, one gets it. Raises `Misconfigured` if the owner is alive, or if the file
    cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            previous = read_record(file)
            if previous and previous.owner.alive:
                raise Misconfigured(
                    f"{file.parent} is in use by process {previous.owner.pid}: stop that one first, "
                    "or give this one another folder in CARDWATCH_HOME"
                )
            end_leftovers(previous)
            record = StackRecord(owner=ProcessIdentity.of(os.getpid()))
            record.write(file)
    except OSError as error:
        raise Misconfigured(
            f"CARDWATCH_HOME={str(file.parent)!r} cannot be written ({error.strerror}): "
            "correct its permissions or choose another folder"
        ) from error
    return record


def read_record(file: Path) -> StackRecord | None:
    """The record in `file`; None if there is none, or one that cannot be understood."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None


def end_leftovers(record: StackRecord | None) -> None:
    """End the processes of `record` that still run."""
    if record:
        end(record.processes.values(), grace_seconds=GRACE_SECONDS)
