"""Card states for previews, from a feature store that may not exist yet or may be replaced while the service runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cardwatch.errors import CardwatchError, StoreUnavailable
from cardwatch.features.state import empty_states
from cardwatch.ports import StateArray

if TYPE_CHECKING:  # it imports LMDB, which the functions on AWS do not have
    from adapters.feature_store.open import OpenStore

CHECK_SECONDS: Final = 1.0
"""Time between two checks of the embedded store's file. An open store stays readable after its file is removed, so
without the check old states would be read forever."""
BACKOFF_SECONDS: Final = 0.25
"""Time after a failure during which `load` fails immediately, so that requests do not queue behind a dead store."""


class CardStateReader:
    """Reads card states, from any number of threads. `now` is a monotonic clock in seconds.

    `open_store` returns the store, opened for reading, or None if it was not created yet: then no card has a history.
    `file` is the file of the embedded store, None for a store that is read over a network. `is_remote`: whether a read
    may take long, and does not belong on the serving thread.
    """

    def __init__(self, open_store: Callable[[], OpenStore | None], file: Path | None, now: Callable[[], float]) -> None:
        self._open_store, self._file, self._now = open_store, file, now
        self.is_remote = file is None
        self._opening = threading.Lock()
        self._store: OpenStore | None = None
        self._opened: tuple[int, int] | None = None
        self._next_check = 0.0
        self._backoff_until = 0.0
        self._problem = ""

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """Return the states of these distinct cards; the caller may change them. Raises `StoreUnavailable`."""
        now = self._now()
        if now < self._backoff_until:
            raise StoreUnavailable(self._problem)
        try:
            store = self._current(now)
            return empty_states(len(card_ids)) if store is None else store.load(card_ids)
        except CardwatchError as error:
            self._problem, self._backoff_until = str(error), self._now() + BACKOFF_SECONDS
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _current(self, now: float) -> OpenStore | None:
        if self._store is not None and (self._file is None or now < self._next_check):
            return self._store
        with self._opening:  # a process must not open an LMDB file twice
            self._next_check = now + CHECK_SECONDS
            found = None if self._file is None else _identity(self._file)
            if self._store is not None and found != self._opened:
                self.close()
            if self._opened is not None and found is None and self._file is not None:
                raise StoreUnavailable(f"the feature store {self._file} is gone; the stream worker creates it again")
            if self._store is None:
                self._store = self._open_store()
                self._opened = found if self._store is not None else None
            return self._store


def _identity(file: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, None if it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
