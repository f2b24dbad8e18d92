"""Folding of the archived log into a new embedded store, after an update that has changed the states or their meaning.

The new store is complete before it replaces the old one. An interruption is continued by the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

from adapters.feature_store.layout import STATE_LAYOUT, UNFINISHED
from adapters.feature_store.lmdb import LmdbStore, data_file, stored_layout, stored_partitions
from cardwatch.features.log_segment import fold_segment
from cardwatch.ports import ArchivedLogPort


class StoreRefold:
    """The refold of the embedded store in the folder `path` from the archived log.

    No other process may have the store open meanwhile. The new store ends where the old one does, or earlier at the end
    of the archive: the stream worker folds the rest from the topic when it starts. So it is never ahead of the log.
    """

    def __init__(self, path: Path, archived: ArchivedLogPort) -> None:
        self._path, self._archived = path, archived
        self._unfinished, self._finished, self._replaced = (
            path.with_name(f"{path.name}.{suffix}") for suffix in ("rebuilding", "rebuilt", "replaced")
        )

    @property
    def is_needed(self) -> bool:
        """Whether the store holds states of another layout, or an earlier refold was interrupted.

        Raises `StoreRefused` for a store that is incomplete after an interrupted restore of a snapshot.
        """
        found = stored_layout(self._path)
        if found == UNFINISHED:
            LmdbStore(self._path, readonly=True).close()  # raises
        return found not in (None, STATE_LAYOUT) or self._finished.exists() or self._replaced.exists()

    def ends(self) -> dict[int, int]:
        """Return the offset at which each partition of the new store ends; none without an old store."""
        if not data_file(self._path).exists():
            return {}
        with LmdbStore(self._path, readonly=True, layout=stored_layout(self._path) or STATE_LAYOUT) as old:
            return {
                partition: end
                for partition, archived_end in self._archived.ends().items()
                if (end := min(old.applied(partition), archived_end))
            }

    def run(self, on_folded: Callable[[int, int], None] = lambda _partition, _records: None) -> None:
        """Fold the log and replace the store. A repeated call changes nothing.

        `on_folded` is called with the partition and the number of offsets of each segment.
        """
        if not self.is_needed:
            return
        if stored_layout(self._path) == STATE_LAYOUT or stored_layout(self._finished) != STATE_LAYOUT:
            rmtree(self._finished, ignore_errors=True)  # it is not used any more, or of another version
        if not self._path.exists() and self._replaced.exists() and not self._finished.exists():
            self._replaced.rename(self._path)
        if stored_layout(self._path) not in (None, STATE_LAYOUT) and not self._finished.exists():
            self._fold(on_folded)
        self._replace()

    def _fold(self, on_folded: Callable[[int, int], None]) -> None:
        rmtree(self._unfinished, ignore_errors=True)
        ends = self.ends()
        with LmdbStore(self._path, readonly=True, layout=stored_layout(self._path) or STATE_LAYOUT) as old:
            partitions = stored_partitions(old)
        try:
            with LmdbStore(self._unfinished) as store:
                if partitions is not None:
                    store.record_partitions(partitions)
                for partition, end in sorted(ends.items()):
                    position = 0
                    for segment in self._archived.parts(partition, 0, end):
                        fold_segment(store, partition, position, segment)
                        on_folded(partition, segment.position - position)
                        position = segment.position
            self._unfinished.rename(self._finished)
        finally:
            rmtree(self._unfinished, ignore_errors=True)

    def _replace(self) -> None:
        """Rename the new store to the place of the old one, which is removed last. Each step can be the first one."""
        if self._finished.exists():
            if self._path.exists():
                rmtree(self._replaced, ignore_errors=True)
                self._path.rename(self._replaced)
            self._finished.rename(self._path)
        rmtree(self._replaced, ignore_errors=True)
