"""Replay of an archive to feature rows in bounded memory, on all cores: `python -m pipelines.replay --help`.

All transactions of a card are in one partition, so partitions are replayed independently, each into one file. A pool
of processes replays large logs. The output folder appears only when all files are complete.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import repeat
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Final

import pyarrow as pa
from msgspec import Struct

from adapters.archive.card_states import CardStates
from adapters.archive.feature_rows import feature_rows, write_feature_rows
from adapters.archive.log_files import BATCH_ROWS
from adapters.archive.reader import index_url_of, open_log
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.addresses import Secret
from adapters.runtime.files import atomic_folder
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import DAY_MS
from cardwatch.features.replay import ReferenceTables
from pipelines.command import run_command
from pipelines.steps.partition_replay import replay_partition

POOL_PAYS_FROM_ROWS: Final = 200_000
"""Minimum number of rows for a pool of processes. Below it, starting the processes takes longer than the replay."""


class ReplayRequest(Struct, frozen=True, kw_only=True):
    """Input and output of a replay. `transactions` is an archive, or a folder of Parquet files with its columns.

    `index_url` is the URL of the archive's index, if it is not in the archive's folder. Only rows from `first_day` to
    `last_day` are written, but all earlier rows are replayed. `jobs` is the maximum number of processes; None means the
    number of cores.
    """

    transactions: Path
    tables: Path
    out: Path
    index_url: Secret = Secret("")
    first_day: date | None = None
    last_day: date | None = None
    jobs: int | None = None
    batch_rows: int = BATCH_ROWS


def replay(request: ReplayRequest) -> int:
    """Write the feature rows to `out/partition-NNNN.parquet` in log order, and return their number.

    Raises `Misconfigured` if `out` is not empty or there is nothing to replay, and `CardwatchError` for a damaged log
    or a missing reference table. After an error `out` is unchanged.
    """
    with atomic_folder(request.out) as folder:
        log = open_log(request.transactions, request.index_url)
        partitions = log.partitions
        if not partitions:
            raise Misconfigured(f"{request.transactions} has no transactions yet: there is nothing to replay")
        jobs = min(request.jobs or os.cpu_count() or 1, len(partitions))
        if jobs == 1 or (request.jobs is None and log.rows < POOL_PAYS_FROM_ROWS):
            return sum(write_partition(request, partition, folder) for partition in partitions)
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            try:
                return sum(pool.map(write_partition, repeat(request), partitions, repeat(folder)))
            except BaseException:  # the results of the other processes are not needed
                for process in active_children():
                    process.terminate()
                raise


def write_partition(request: ReplayRequest, partition: int, folder: Path) -> int:
    """Replay one partition into its file in `folder`, and return the number of rows written."""
    log, tables = open_log(request.transactions, request.index_url), ReferenceTableStore(request.tables)
    reference_tables = ReferenceTables(tables.all(), tables.former_days())

    def batches() -> Iterator[pa.Table]:
        for batch in replay_partition(log, partition, reference_tables, CardStates(), batch_rows=request.batch_rows):
            rows = feature_rows(batch.transactions, batch.folded)
            if request.first_day or request.last_day:
                days = batch.occurred_at_ms // DAY_MS + EPOCH.toordinal()
                first, last = request.first_day or date.min, request.last_day or date.max
                rows = rows.filter(pa.array((days >= first.toordinal()) & (days <= last.toordinal())))
            yield rows

    return write_feature_rows(folder / f"partition-{partition:04d}.parquet", batches())


def main() -> None:
    """Run the replay that the command line describes; `cardwatch replay` calls this module."""
    parser = ArgumentParser(prog="python -m pipelines.replay")
    for name in ("transactions", "tables", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--first-day", type=date.fromisoformat)
    parser.add_argument("--last-day", type=date.fromisoformat)
    parser.add_argument("--jobs", type=int)
    with run_command():
        arguments = parser.parse_args()
        index_url = index_url_of(arguments.transactions, read_settings())
        request = ReplayRequest(**vars(arguments), index_url=index_url)
        rows = replay(request)
        sys.stdout.write(f"{rows} feature rows in {request.out}\n")


if __name__ == "__main__":
    main()
