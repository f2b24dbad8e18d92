"""What every batch job on AWS is told by its environment, and how it begins and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from adapters.runtime.logs import set_up_logging
from adapters.runtime.process import one_line_errors
from adapters.runtime.settings import PREFIX, Settings, read_settings
from cardwatch.errors import Misconfigured
from cardwatch.events import utc_day


class Job(NamedTuple):
    """A job's settings, and an empty folder that goes when the job ends."""

    settings: Settings
    folder: Path


@contextmanager
def run_job(name: str) -> Iterator[Job]:
    """Give the job that is called `name` its settings, its log and its folder.

    Our errors end it as one line on stderr, with exit status 2 for what can be corrected in a setting, else 1. A job is
    not asked to wait for what does not answer: whoever started it starts it again.
    """
    with one_line_errors():
        settings = read_settings()
        set_up_logging(settings, name)
        settings.home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{name}-", dir=settings.home) as folder:
            yield Job(settings, Path(folder))


def required(settings: Settings, name: str) -> str:
    """A setting that this job cannot do without; raises `Misconfigured`, naming its key, if it is empty."""
    value = str(getattr(settings, name))
    if not value:
        raise Misconfigured(f"{PREFIX}{name.upper()} is not set")
    return value


def day_of(settings: Settings, now: datetime) -> date:
    """The day that the job is about: that of the settings, else the last one (UTC) that has ended by `now`."""
    if not settings.as_of_day:
        return utc_day(now) - timedelta(days=1)
    try:
        return date.fromisoformat(settings.as_of_day)
    except ValueError as error:
        raise Misconfigured(f"{PREFIX}AS_OF_DAY={settings.as_of_day!r} is no day like 2025-01-31") from error
