"""Threads of the console that fail."""

from __future__ import annotations

from threading import Event

import pytest

from cardwatch.errors import CardwatchError
from services.console.__main__ import Background


def _fails(_stopping: Event) -> None:
    raise ValueError("out of files")


def test_a_thread_that_fails_ends_the_console_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    stopping = Event()
    background = Background(stopping)
    background.start(_fails).join()
    assert stopping.is_set()
    assert "_fails has failed" in caplog.text
    with pytest.raises(CardwatchError, match="out of files"):
        background.raise_failure()


def test_threads_that_end_because_they_should_are_no_failure() -> None:
    stopping = Event()
    background = Background(stopping)
    thread = background.start(lambda event: event.wait() and None)
    stopping.set()
    thread.join()
    background.raise_failure()
