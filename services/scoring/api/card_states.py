"""Card states for questions: the feature store, opened when there is one, and opened again when it comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cardwatch.errors import CardwatchError, StoreUnavailable
from cardwatch.features.state import empty_states
from cardwatch.ports import StateArray

if TYPE_CHECKING:  # it imports LMDB, which a function on AWS does not have
    from adapters.feature_store.open import OpenStore

CHECK_SECONDS: Final = 1.0
"""How often the embedded store's file is looked at: one that was removed would be read on as if nothing were."""
BACKOFF_SECONDS: Final = 0.25
"""For so long a store that did not answer is not asked again, so that nobody waits for it."""


class CardStateReader:
    """Reads states, from any number of threads. `now` is a clock in seconds that does not go backwards.

    `open_store` gives the store for reading, or None while nobody has made it yet: then no card has a history.
    `file` is that of the embedded store, None for one that is asked over a network.
    """

    def __init__(self, open_store: Callable[[], OpenStore | None], file: Path | None, now: Callable[[], float]) -> None:
        self._open_store, self._file, self._now = open_store, file, now
        self._opening = threading.Lock()
        self._store: OpenStore | None = None
        self._opened: tuple[int, int] | None = None
        self._look_at = 0.0
        self._rests_until = 0.0
        self._problem = ""

    @property
    def is_remote(self) -> bool:
        """Whether a read may take long: then it does not belong on the thread that serves."""
        return self._file is None

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """The states of these distinct cards, the caller's own; raises `StoreUnavailable`, saying why."""
        now = self._now()
        if now < self._rests_until:
            raise StoreUnavailable(self._problem)
        try:
            store = self._current(now)
            return empty_states(len(card_ids)) if store is None else store.load(card_ids)
        except CardwatchError as error:
            self._problem, self._rests_until = str(error), self._now() + BACKOFF_SECONDS  # it may have taken long
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _current(self, now: float) -> OpenStore | None:
        if self._store is not None and (self._file is None or now < self._look_at):
            return self._store
        with self._opening:  # LMDB may be opened once a process
            self._look_at = now + CHECK_SECONDS
            found = None if self._file is None else _identity(self._file)
            if self._store is not None and found != self._opened:
                self.close()
            if self._opened is not None and found is None and self._file is not None:
                raise StoreUnavailable(f"the feature store {self._file} is gone; the stream worker makes it anew")
            if self._store is None:
                self._store = self._open_store()
                self._opened = found if self._store is not None else None
            return self._store


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
