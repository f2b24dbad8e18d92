"""The archive in a bucket: fetched into a folder, worked on there as on any other, and put back in one step.

It lies under `archive/` as it lies on disk (`adapters.archive.layout`). The index is the manifest and is stored last,
in the place of the very index that was fetched: of two who worked at the same time the second is refused, and what was
stored before the index counts for nothing without it. Parquet files are never changed and never removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Select, select

from adapters.archive import index
from adapters.archive.index import POSITIONS, ArchiveIndex, index_file
from adapters.archive.reader import Archive
from adapters.aws.object_keys import ARCHIVE_PREFIX
from adapters.aws.s3 import Bucket
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

EVERYTHING: Final[Mapping[str, date]] = dict.fromkeys((TRANSACTIONS, DECISIONS, LABELS), date.min)

_INDEX_KEY: Final = ARCHIVE_PREFIX + index_file(Path()).name
_IDS_A_QUESTION: Final = 500


class S3Archive:
    """The archive in `bucket`, for one process that works on it in `folder`, which is empty or no more."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self._bucket, self.folder = bucket, folder
        self._fetched_index = ""

    def fetch_index(self) -> Archive:
        """Fetch the index, if there is an archive yet; its files come with `fetch_files`."""
        if self._bucket.has(_INDEX_KEY):
            self._fetched_index = self._bucket.download(_INDEX_KEY, index_file(self.folder))
        return Archive(self.folder)

    def fetch_files(self, first_days: Mapping[str, date]) -> None:
        """Fetch the files of these kinds from these event days on; reading others from the archive would fail."""
        archive = Archive(self.folder)
        needed = {
            str(path.relative_to(self.folder))
            for kind, first in first_days.items()
            for path, _ in archive.files(kind)
            if _day_of(path) >= first
        }
        self._bucket.fetch_folder(ARCHIVE_PREFIX, self.folder, wanted=needed.__contains__)

    def store(self) -> None:
        """Store new files, then the index. Raises `Superseded`, and changes nothing, if another one was stored since.

        Nobody may have the archive open for writing any more.
        """
        self._bucket.store_folder(self.folder, ARCHIVE_PREFIX, wanted=lambda name: name.endswith(".parquet"))
        self._fetched_index = self._bucket.put(_INDEX_KEY, index_file(self.folder), replaces=self._fetched_index)

    def positions(self, topic: str) -> dict[int, int]:
        """Up to where each part of a source has been read."""
        known = select(POSITIONS.c.partition, POSITIONS.c.next_offset).where(POSITIONS.c.topic == topic)
        return {int(partition): int(offset) for partition, offset in self._ask(known)}

    def positions_below(self, prefix: str) -> dict[str, int]:
        """The same for every source that is called by the key of an object under `prefix`."""
        known = select(POSITIONS.c.topic, POSITIONS.c.next_offset).where(POSITIONS.c.topic.startswith(prefix))
        return {str(topic): int(offset) for topic, offset in self._ask(known)}

    def holds(self, transaction_ids: Collection[str]) -> set[str]:
        """Those of these transactions that are archived."""
        ids = sorted(transaction_ids)
        column = index.TRANSACTIONS.c.transaction_id
        found: set[str] = set()
        for start in range(0, len(ids), _IDS_A_QUESTION):
            known = select(column).where(column.in_(ids[start : start + _IDS_A_QUESTION]))
            found |= {str(transaction_id) for (transaction_id,) in self._ask(known)}
        return found

    def _ask(self, query: Select[Any]) -> list[Any]:
        with ArchiveIndex(self.folder, readonly=True).connected() as connection:
            return list(connection.execute(query).all())


def _day_of(path: Path) -> date:
    return date.fromisoformat(path.parent.name.removeprefix("date="))
