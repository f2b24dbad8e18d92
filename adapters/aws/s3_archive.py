"""The archive in a bucket: fetched into a folder, changed there like a local archive, and stored atomically.

The layout under `archive/` is that on disk (`adapters.archive.layout`). The index is the manifest. It is stored last,
and replaces only the index that was fetched, so that of two concurrent processes the second is refused. Files that the
index does not name are ignored. Parquet files are never changed and never removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
_IDS_PER_QUERY: Final = 500


class S3Archive:
    """The archive in `bucket`, for one process that uses it in `folder`, which is empty or does not exist."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self._bucket, self.folder = bucket, folder
        self._fetched_index = ""

    def fetch_index(self) -> Archive:
        """Fetch the index, if there is an archive. `fetch_files` fetches the files."""
        if self._bucket.has(_INDEX_KEY):
            self._fetched_index = self._bucket.download(_INDEX_KEY, index_file(self.folder))
        return Archive(self.folder)

    def fetch_files(self, first_days: Mapping[str, date]) -> None:
        """Fetch the files of the given kinds from the given event day on. Other files cannot be read then."""
        archive = Archive(self.folder)
        needed = {
            str(path.relative_to(self.folder))
            for kind, first in first_days.items()
            for path, _ in archive.files(kind)
            if _day_of(path) >= first
        }
        self._bucket.fetch_folder(ARCHIVE_PREFIX, self.folder, wanted=needed.__contains__)

    def store(self) -> None:
        """Store new files, then the index. Raises `Superseded`, without effect, if another index was stored meanwhile.

        The archive must not be open for writing.
        """
        self._bucket.store_folder(self.folder, ARCHIVE_PREFIX, wanted=lambda name: name.endswith(".parquet"))
        self._fetched_index = self._bucket.put(_INDEX_KEY, index_file(self.folder), replaces=self._fetched_index)

    def positions(self, topic: str) -> dict[int, int]:
        """Return the offset up to which each partition of a topic was read."""
        known = select(POSITIONS.c.partition, POSITIONS.c.next_offset).where(POSITIONS.c.topic == topic)
        return {int(partition): int(offset) for partition, offset in self._query(known)}

    def positions_below(self, prefix: str) -> dict[str, int]:
        """Return the same for every object under `prefix` that was read, by key."""
        known = select(POSITIONS.c.topic, POSITIONS.c.next_offset).where(POSITIONS.c.topic.startswith(prefix))
        return {str(topic): int(offset) for topic, offset in self._query(known)}

    def holds(self, transaction_ids: Collection[str]) -> set[str]:
        """Return those of the transactions that are archived."""
        ids = sorted(transaction_ids)
        column = index.TRANSACTIONS.c.transaction_id
        found: set[str] = set()
        for start in range(0, len(ids), _IDS_PER_QUERY):
            known = select(column).where(column.in_(ids[start : start + _IDS_PER_QUERY]))
            found |= {str(transaction_id) for (transaction_id,) in self._query(known)}
        return found

    def _query(self, query: Select[Any]) -> Sequence[Any]:
        return ArchiveIndex(self.folder, readonly=True).query(query)


def _day_of(path: Path) -> date:
    return date.fromisoformat(path.parent.name.removeprefix("date="))
