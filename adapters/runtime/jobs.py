"""Settings, start and end of the batch jobs on AWS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from adapters.runtime.logs import set_up_logging
from adapters.runtime.process import exit_on_error
from adapters.runtime.settings import PREFIX, Settings, read_settings
from cardwatch.errors import Misconfigured
from cardwatch.events import utc_day


class Job(NamedTuple):
    """A job's settings, and an empty folder that is removed when the job ends."""

    settings: Settings
    folder: Path


@contextmanager
def run_job(name: str) -> Iterator[Job]:
    """Set up a job: settings, log and folder.

    Errors of Cardwatch end the process as in `exit_on_error`. A job does not retry; the state machine restarts it.
    """
    with exit_on_error():
        settings = read_settings()
        set_up_logging(settings, name)
        settings.home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{name}-", dir=settings.home) as folder:
            yield Job(settings, Path(folder))


def required(settings: Settings, name: str) -> str:
    """Return a required setting. Raises `Misconfigured` with its key if it is empty."""
    value = str(getattr(settings, name))
    if not value:
        raise Misconfigured(f"{PREFIX}{name.upper()} is not set")
    return value


def day_of(settings: Settings, now: datetime) -> date:
    """Return the day that the job processes: that of the settings, else the last complete day (UTC) before `now`."""
    if not settings.as_of_day:
        return utc_day(now) - timedelta(days=1)
    try:
        return date.fromisoformat(settings.as_of_day)
    except ValueError as error:
        raise Misconfigured(f"{PREFIX}AS_OF_DAY={settings.as_of_day!r} is no day like 2025-01-31") from error
