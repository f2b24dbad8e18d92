"""The newest reference tables of a bucket in a folder here, looked for again now and then."""

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

LOOK_SECONDS: Final = 60.0
"""A table is built once a day, from what happened before that day: a minute late is early."""
HELD: Final = 8
"""So many are fetched: transactions that are up to a week late find the table of their day."""

log = logging.getLogger(__name__)


class ReferenceTableCache:
    """A `cardwatch.features.reference_choice.Tables`. `now_seconds` is a clock that does not go backwards.

    While the bucket does not answer, the tables that are here go on being used: how old they may get is the rule of
    `choose_table`.
    """

    def __init__(self, bucket: Bucket, folder: Path, now_seconds: Callable[[], float]) -> None:
        self._bucket, self._folder, self._now_seconds = bucket, folder, now_seconds
        self._tables = ReferenceTableStore(folder)
        self._look_at: float | None = None
        self._first_here: date | None = None

    def newest(self, at: date) -> ReferenceTable:
        """See `ReferenceTableStore.newest`. Raises `CorruptTable` for a day whose table is too old to be here."""
        if self._first_here is not None and at < self._first_here:
            raise CorruptTable(f"the reference tables here begin at {self._first_here}, none is here for {at}")
        return self._tables.newest(at)

    def refresh(self) -> None:
        """Fetch what is new, unless that was done a moment ago."""
        now_seconds = self._now_seconds()
        if self._look_at is not None and now_seconds < self._look_at:
            return
        try:
            names = sorted(found.key.removeprefix(TABLES_PREFIX) for found in self._bucket.objects(TABLES_PREFIX))
            held = names[-HELD:]
            self._bucket.fetch_folder(TABLES_PREFIX, self._folder, wanted=set(held).__contains__)
            self._first_here = date.fromisoformat(held[0][:10]) if len(names) > HELD else None
        except StorageUnavailable as error:
            log.warning("going on with the reference tables that are here: %s", error)
        self._look_at = now_seconds + LOOK_SECONDS
