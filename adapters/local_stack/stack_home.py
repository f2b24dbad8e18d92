"""The folder of the stack of `cardwatch up`, and what other processes can learn from it about the stack."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct, structs

from adapters.local_stack.process_record import StackRecord, end_processes, read_record
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.runtime.files import write_atomically
from adapters.runtime.retry import poll
from adapters.runtime.settings import PREFIX, Settings
from cardwatch.errors import CardwatchError, Misconfigured

_STOP_SECONDS: Final = 120.0
"""A dozen processes stop one after the other, each within a grace period of ten seconds; one second is usual."""
_STATUS_FILE: Final = Path("run") / "standing.json"


class ProcessEndpoint(Struct, frozen=True, rename={"readiness_url": "question"}):
    """The address of a process, and the URL of its readiness check; empty for Kafka, which has none."""

    address: str
    readiness_url: str


class StackStatus(
    Struct,
    frozen=True,
    kw_only=True,
    rename={
        "own_variables": "ours",
        "endpoints": "places",
        "restarts": "revived",
        "finished": "done",
        "ready": "arrived",
    },
):
    """Status of a running stack, as written to its folder. The names in the file are those of earlier versions.

    `environment` has the variables with which other processes find the parts of the stack; `own_variables` are those of
    servers that the stack has started itself. `restarts` counts restarts by process, `finished` are the processes that
    have ended as intended, and `ready` says whether the stack has been ready once.
    """

    owner: ProcessIdentity
    environment: dict[str, str]
    own_variables: list[str]
    endpoints: dict[str, ProcessEndpoint]
    restarts: dict[str, int] = {}
    finished: list[str] = []
    ready: bool = False


class StackHome:
    """The folder `CARDWATCH_HOME/stack`, or CARDWATCH_HOME itself if that is already the folder of a stack.

    The latter is the case in a shell that has sourced the stack's addresses.
    """

    def __init__(self, settings: Settings) -> None:
        home = settings.home.absolute()
        self._set_folder(home if (home / _STATUS_FILE).exists() else home / "stack")

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Return the home whose folder is this one, such as that of a demo."""
        home = cls.__new__(cls)
        home._set_folder(folder)
        return home

    def _set_folder(self, folder: Path) -> None:
        self.folder = folder
        self.addresses = self.folder / "run" / "addresses.env"
        self.plan = self.folder / "run" / "plan.json"
        self.logs = self.folder / "logs"
        self._status = self.folder / _STATUS_FILE
        self._record = self.folder / "stack.json"

    def log(self, name: str) -> Path:
        """Return the file that receives the output of this process."""
        return self.logs / f"{name}.log"

    def settings(self, given: Settings) -> Settings:
        """Return the settings for starting a stack here: `given` without the addresses of an earlier stack.

        The earlier API key and the console's token are kept, so that their users do not need new ones.
        """
        last = self.last_status()
        changes: dict[str, object] = {"home": self.folder}
        if last is not None:
            environment = given.to_environment()
            stale = [key for key in last.own_variables if environment.get(key) == last.environment[key]]
            changes |= {key.removeprefix(PREFIX).lower(): "" for key in stale}
            for key in ("api_key", "console_token"):
                if not getattr(given, key):
                    changes[key] = type(given.api_key)(last.environment.get(PREFIX + key.upper(), ""))
        return structs.replace(given, **changes)

    @contextmanager
    def start_lock(self) -> Iterator[None]:
        """Hold the lock under which a stack is looked for and started.

        Raises `Misconfigured` if the folder cannot be written.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.logs.chmod(0o700)  # the log of the stack has the console's address with its token
            lock = (self.folder / "up.lock").open("w")
        except OSError as error:
            raise Misconfigured(
                f"{self.folder} cannot be written ({error.strerror}): correct its permissions, or choose another "
                "CARDWATCH_HOME"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def record(self) -> StackRecord | None:
        """Return the process record of the running stack, None if no stack runs."""
        record = read_record(self._record)
        return record if record and record.owner.alive else None

    def status(self) -> StackStatus | None:
        """Return the status of the running stack, None if no stack runs or it has not written its status yet."""
        record, last = self.record(), self.last_status()
        return last if record and last and last.owner == record.owner else None

    def last_status(self) -> StackStatus | None:
        """Return the newest status, possibly of a stack that has ended since."""
        with suppress(FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return msgspec.json.decode(self._status.read_bytes(), type=StackStatus)
        return None

    def write(self, status: StackStatus) -> None:
        """Replace the status, and the file of addresses that a shell can source.

        Both contain the API key; `write_atomically` creates files that only their owner can read.
        """
        lines = [f"export {key}={shlex.quote(value)}\n" for key, value in status.environment.items()]
        write_atomically(self.addresses, "".join(lines).encode())
        write_atomically(self._status, msgspec.json.encode(status))

    def stop(self) -> bool:
        """Stop the stack and return whether one was running. Raises `CardwatchError` if it does not end in time."""
        record = read_record(self._record)
        if record is None:
            return False
        if not record.owner.alive:
            orphaned = any(process.alive for process in record.processes.values())
            end_processes(record)
            self._record.unlink(missing_ok=True)
            return orphaned
        with suppress(ProcessLookupError):
            os.kill(record.owner.pid, signal.SIGTERM)
        if not poll(lambda: not record.owner.alive, timeout_seconds=_STOP_SECONDS):
            raise CardwatchError(f"process {record.owner.pid} has not ended within {_STOP_SECONDS:g} s")
        return True

    def delete(self) -> None:
        """Delete all data of stacks in this folder; no stack may be running."""
        shutil.rmtree(self.folder, ignore_errors=True)
