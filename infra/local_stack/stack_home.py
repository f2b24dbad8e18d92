"""The folder of the stack that runs until it is stopped, and what can be learned there about it from outside."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from adapters.runtime.files import write_atomically
from adapters.runtime.settings import PREFIX, Settings
from cardwatch.errors import CardwatchError, Misconfigured
from infra.local_stack.process_record import StackRecord, end_leftovers, read_record
from infra.local_stack.process_tree import ProcessIdentity

_POLL_SECONDS: Final = 0.1
# Each of a dozen processes is given ten seconds, one after the other, and needs one.
_STOP_SECONDS: Final = 120.0


class Place(Struct, frozen=True):
    """Where a process is found, and the URL at which it is asked whether it is ready."""

    address: str
    question: str


class Standing(Struct, frozen=True, kw_only=True):
    """A running stack as it describes itself.

    `environment` has the variables with which anybody finds its parts, `ours` names those among them whose servers the
    stack has started itself. `revived` counts how often a process was started again, `done` are those that have ended
    as they should, `arrived`: it has once been wholly at work.
    """

    owner: ProcessIdentity
    environment: dict[str, str]
    ours: list[str]
    places: dict[str, Place]
    revived: dict[str, int] = {}
    done: list[str] = []
    arrived: bool = False


class StackHome:
    """`CARDWATCH_HOME/stack`, or CARDWATCH_HOME itself if that is such a folder: as it is in a shell that has sourced
    its addresses.
    """

    def __init__(self, settings: Settings) -> None:
        home = settings.home.absolute()
        self.folder: Final = home if (home / "run" / "standing.json").exists() else home / "stack"
        self.addresses: Final = self.folder / "run" / "addresses.env"
        self.plan: Final = self.folder / "run" / "plan.json"
        self.logs: Final = self.folder / "logs"
        self._standing: Final = self.folder / "run" / "standing.json"
        self._record: Final = self.folder / "stack.json"

    def log(self, name: str) -> Path:
        """Where the output of this process goes."""
        return self.logs / f"{name}.log"

    def keep_plan(self, plan: bytes) -> None:
        """Keep the plan of the generator that runs here."""
        write_atomically(self.plan, plan)

    def settings(self, given: Settings) -> Settings:
        """How a stack in this folder is to be started: what `given` says, without addresses of an earlier one here.

        Its key is kept, so that whoever has it may go on using it.
        """
        last = self.last()
        kept: dict[str, object] = {"home": self.folder}
        if last is not None:
            environment = given.to_environment()
            stale = [key for key in last.ours if environment.get(key) == last.environment[key]]
            kept |= {key.removeprefix(PREFIX).lower(): "" for key in stale}
            if not given.api_key:
                kept["api_key"] = type(given.api_key)(last.environment[f"{PREFIX}API_KEY"])
        return structs.replace(given, **kept)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Whoever looks whether a stack runs here and starts one if not does both in this block, one after another.

        Raises `Misconfigured` if the folder cannot be written.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
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
        """What a living stack has started here, None if none runs."""
        record = read_record(self._record)
        return record if record and record.owner.alive else None

    def standing(self) -> Standing | None:
        """How the stack that runs here describes itself, None if none runs or it is only about to start."""
        record, last = self.record(), self.last()
        return last if record and last and last.owner == record.owner else None

    def last(self) -> Standing | None:
        """The newest description, of a stack that may have ended since."""
        with suppress(FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return msgspec.json.decode(self._standing.read_bytes(), type=Standing)
        return None

    def write(self, standing: Standing) -> None:
        """Replace the description, and the file that a shell can source.

        Both hold a key, so only their owner can read them: files are made like that by `write_atomically`.
        """
        lines = [f"export {key}={shlex.quote(value)}\n" for key, value in standing.environment.items()]
        write_atomically(self.addresses, "".join(lines).encode())
        write_atomically(self._standing, msgspec.json.encode(standing))

    def stop(self) -> bool:
        """Have whatever runs here stopped; False if nothing did. Raises `CardwatchError` if something will not end."""
        record = read_record(self._record)
        if record is None:
            return False
        if not record.owner.alive:
            left = any(process.alive for process in record.processes.values())
            end_leftovers(record)
            self._record.unlink(missing_ok=True)
            return left
        with suppress(ProcessLookupError):
            os.kill(record.owner.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while record.owner.alive:
            if time.monotonic() > deadline:
                raise CardwatchError(f"process {record.owner.pid} has not ended within {_STOP_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        return True

    def delete(self) -> None:
        """Delete everything that stacks have left here; nothing may run."""
        shutil.rmtree(self.folder, ignore_errors=True)
