"""A local copy of the newest reference tables of a bucket, refreshed periodically."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.object_keys import TABLES_PREFIX
from adapters.aws.s3 import Bucket
from cardwatch.errors import CorruptTable, StorageUnavailable
from cardwatch.features.reference_table import ReferenceTable

REFRESH_SECONDS: Final = 60.0
"""Pause between two listings of the bucket. A table is built once a day, so a minute of delay does not matter."""
TABLES_KEPT: Final = 8
"""Number of tables to fetch, so that transactions up to a week late find the table of their day."""

log = logging.getLogger(__name__)


class ReferenceTableCache:
    """A `cardwatch.features.reference_choice.Tables`. `now_seconds` is a monotonic clock.

    While the bucket does not answer, the local tables stay in use; `choose_table` limits their age.
    """

    def __init__(self, bucket: Bucket, folder: Path, now_seconds: Callable[[], float]) -> None:
        self._bucket, self._folder, self._now_seconds = bucket, folder, now_seconds
        self._tables = ReferenceTableStore(folder)
        self._refresh_at: float | None = None
        self._first_day: date | None = None

    def newest(self, at: date) -> ReferenceTable:
        """See `ReferenceTableStore.newest`. Raises `CorruptTable` for a day before the oldest local table."""
        if self._first_day is not None and at < self._first_day:
            raise CorruptTable(f"the local reference tables begin at {self._first_day}, there is none for {at}")
        return self._tables.newest(at)

    def refresh(self) -> None:
        """Fetch new tables, unless the last refresh was less than `REFRESH_SECONDS` ago."""
        now_seconds = self._now_seconds()
        if self._refresh_at is not None and now_seconds < self._refresh_at:
            return
        try:
            names = sorted(found.key.removeprefix(TABLES_PREFIX) for found in self._bucket.objects(TABLES_PREFIX))
            kept = names[-TABLES_KEPT:]
            self._bucket.fetch_folder(TABLES_PREFIX, self._folder, wanted=set(kept).__contains__)
            self._first_day = date.fromisoformat(kept[0][:10]) if len(names) > TABLES_KEPT else None
        except StorageUnavailable as error:
            log.warning("using the local reference tables: %s", error)
        self._refresh_at = now_seconds + REFRESH_SECONDS
