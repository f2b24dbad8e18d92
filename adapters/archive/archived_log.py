"""The archived log, read per partition by offset, to fold transactions that a feature store lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from adapters.archive.arrow_columns import KERNEL_COLUMNS, arrow_kernel_rows, distinct
from adapters.archive.log_files import BATCH_ROWS, LOG_POSITION, find_row_groups, log_offsets, read_in_log_order
from adapters.archive.reader import Archive
from cardwatch.features.columns import COLUMNS
from cardwatch.records import LogSegment
from cardwatch.topics import DECISIONS, TRANSACTIONS


class ArchivedLog:
    """The transactions of an archive (see `Archive`), read in bounded memory. Concurrent writes are safe."""

    def __init__(self, folder: Path, index_url: str = "", *, batch_rows: int = BATCH_ROWS) -> None:
        self._batch_rows = batch_rows
        self._archive = Archive(folder, index_url)

    def ends(self) -> dict[int, int]:
        """Return the next offset that is not archived yet, per partition; empty if there is no archive."""
        return self._archive.positions(TRANSACTIONS) if self._archive.exists else {}

    def decided(self) -> dict[int, int]:
        """Return the offset after the newest transaction with an archived decision, per partition."""
        ends: defaultdict[int, int] = defaultdict(int)
        for path, _ in self._archive.files(DECISIONS):
            rows = pq.read_table(path, columns=list(LOG_POSITION), partitioning=None)
            partitions, offsets = rows["partition"].to_numpy(), log_offsets(rows)
            for partition in np.unique(partitions).tolist():
                ends[partition] = max(ends[partition], int(offsets[partitions == partition].max()) + 1)
        return dict(ends)

    def parts(self, partition: int, start: int, stop: int) -> Iterator[LogSegment]:
        """Yield the transactions of [start, stop) in log order. The position of the last segment is `stop`."""
        files = find_row_groups(self._archive.files(TRANSACTIONS))
        needed = [each for each in files if each.last_offset >= start and each.first_offset < stop]
        position = start
        for table in read_in_log_order(needed, partition, KERNEL_COLUMNS, batch_rows=self._batch_rows):
            offsets = log_offsets(table)
            first, last = np.searchsorted(offsets, [start, stop]).tolist()
            if first == last:
                continue
            rows, offsets = table.slice(first, last - first), offsets[first:last]
            cards, card_index = distinct(rows["card_id"])
            position = int(offsets[-1]) + 1
            yield LogSegment(position, cards, card_index, offsets, arrow_kernel_rows(rows))
        if position < stop:
            yield LogSegment(stop, [], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, COLUMNS))
