"""Records and drift reports of monitored days as artifacts of the model version that they are about.

They go to the artifacts of the version's run, in the folder `monitoring`: `days.json` with the newest records, and
`drift-DAY.html` for days on which a drift was reported. A thread of its own uploads them. The topic `progress` and the
folder of reports are where they are safe, so a failed upload is a warning: the next one has all days again.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from datetime import date
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import Final, NamedTuple, Protocol

import msgspec

from cardwatch.errors import CardwatchError
from cardwatch.progress import DayMonitored, Progress
from cardwatch.registry import ModelVersion

FOLDER: Final = "monitoring"
DAYS_FILE: Final = "days.json"
MAX_DAYS: Final = 90
"""Maximum number of records in `days.json`."""
MAX_DAYS_BYTES: Final = 1_000_000
"""Maximum size of `days.json`: the oldest days are left out beyond it."""
MAX_REPORTS: Final = 10
"""Maximum number of drift reports of a version; later ones are in the folder of reports only."""
MAX_REPORT_BYTES: Final = 8_000_000
"""Maximum size of a drift report. MLflow refuses files of more than 10 MB."""
WAITING: Final = 4
"""Maximum number of days that wait for their upload."""
CLOSE_SECONDS: Final = 2.0
"""Maximum time that `ModelReports.close` waits for the upload that has begun."""

log = logging.getLogger(__name__)


class StoresArtifacts(Protocol):
    """The part of `MlflowRegistry` that uploads need."""

    def version(self, version: str, /) -> ModelVersion | None:
        """Return a version by its number, None if it does not exist."""

    def run_file_names(self, version: ModelVersion, folder: str, /) -> list[str]:
        """Return the names of the files in a folder of the artifacts of the version's run."""

    def put_run_file(self, version: ModelVersion, path: str, content: bytes, /) -> None:
        """Write a file to the artifacts of the version's run."""


class _Upload(NamedTuple):
    """What is to be uploaded about a version: the content of `days.json`, and the drift report of the newest day."""

    version: str
    days: bytes
    report: Path | None


class ModelReports:
    """Uploads in the background. Only `close` waits for the registry, a moment; no method raises its errors."""

    def __init__(self, registry: StoresArtifacts) -> None:
        self._registry = registry
        self._records: dict[date, DayMonitored] = {}
        self._waiting: Queue[_Upload | None] = Queue(WAITING)
        self._thread = Thread(target=self._work, name="model-reports", daemon=True)
        self._thread.start()

    def add(self, record: Progress) -> None:
        """Remember the record of a monitored day; other records are ignored. A record may come again."""
        if isinstance(record, DayMonitored):
            self._records[record.day] = record
            if len(self._records) > MAX_DAYS:
                del self._records[min(self._records)]

    def store(self, monitored: DayMonitored, report: Path | None) -> None:
        """Have the records of the day's champion uploaded, with the drift report of the day if there is one."""
        version = monitored.champion_version
        try:
            self._waiting.put_nowait(_Upload(version, self._days_of(version), report))
        except Full:
            log.warning("%s: the registry is slow, the day is not stored with version %s yet", monitored.day, version)

    def wait(self) -> None:
        """Wait until everything that waits is uploaded or has failed."""
        self._waiting.join()

    def close(self) -> None:
        """End the thread. What still waits is dropped: the monitor that starts next uploads the days with its own."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
                self._waiting.task_done()
        self._waiting.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _days_of(self, version: str) -> bytes:
        """Return the newest records about a version as JSON, one per day, oldest first."""
        encoded: deque[bytes] = deque()
        size = 0
        for day in sorted(self._records, reverse=True):
            if self._records[day].champion_version != version:
                continue
            content = msgspec.json.encode(self._records[day])
            size += len(content) + 2
            if size > MAX_DAYS_BYTES:
                break
            encoded.appendleft(content)
        return b"[" + b",\n".join(encoded) + b"]\n"

    def _work(self) -> None:
        while True:
            upload = self._waiting.get()
            if upload is None:
                self._waiting.task_done()
                return
            try:
                self._upload(upload)
            except (CardwatchError, OSError) as error:
                log.warning("the reports of version %s are not stored with it: %s", upload.version, error)
            except Exception:  # whatever happens here must not end the uploads of later days
                log.exception("the reports of version %s are not stored with it", upload.version)
            finally:
                self._waiting.task_done()

    def _upload(self, upload: _Upload) -> None:
        version = self._registry.version(upload.version)
        if version is None:
            log.warning("version %s is not in the registry: its reports are not stored there", upload.version)
            return
        self._registry.put_run_file(version, f"{FOLDER}/{DAYS_FILE}", upload.days)
        if upload.report is None or not upload.report.is_file():
            return
        name, content = upload.report.name, upload.report.read_bytes()
        stored = {each for each in self._registry.run_file_names(version, FOLDER) if each != DAYS_FILE}
        if len(content) > MAX_REPORT_BYTES:
            log.warning("%s has %d bytes, too many to be stored with version %s", name, len(content), upload.version)
        elif len(stored | {name}) > MAX_REPORTS:
            log.warning("version %s has %d drift reports: %s is not added", upload.version, len(stored), name)
        else:
            self._registry.put_run_file(version, f"{FOLDER}/{name}", content)
