"""Replay of a history from Parquet to feature rows: speed of one core, ten times the rows, memory.

Each replay runs in a separate process (`python -m benchmarks.replay HISTORY [OUT]`), so its memory can be measured.
Time is the processor time of that process over all threads, which does not depend on other load.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Final

import msgspec
from msgspec import Struct

from adapters.archive.card_states import CardStates
from adapters.archive.reader import open_log
from adapters.archive.reference_tables import ReferenceTableStore
from benchmarks.harness import Metric, Metrics, compared, ratio
from benchmarks.histories import write_history
from benchmarks.transactions import random_columns, random_table
from cardwatch.features.kernel import fold
from cardwatch.features.replay import ReferenceTables
from cardwatch.features.state import empty_states
from pipelines.replay import ReplayRequest, replay
from pipelines.steps.partition_replay import replay_partition

ROWS: Final = 400_000
CARDS: Final = 10_000
ROUNDS: Final = 5


class Run(Struct, frozen=True):
    """Result of a replay: processor seconds without the start of the process, and peak memory."""

    seconds: float
    peak_mb: float


def measure() -> Metrics:
    """Transactions per second of one core, how time and memory grow, and the kernel's share."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_history(small, rows=ROWS, cards=CARDS, days=20)
        write_history(large, rows=10 * ROWS, cards=CARDS, days=20)
        ReferenceTableStore(Path(folder) / "tables").put(random_table())
        of_small, of_large, to_files, kernel = [], [], [], []
        for round_ in range(ROUNDS):
            of_small.append(_replay_apart(small))
            of_large.append(_replay_apart(large))
            to_files.append(_replay_apart(small, Path(folder) / f"rows-{round_}"))
            kernel.append(_kernel_seconds())
    small_seconds, large_seconds, file_seconds = (
        [run.seconds for run in runs] for runs in (of_small, of_large, to_files)
    )
    small_mb, large_mb = ([run.peak_mb for run in runs] for runs in (of_small, of_large))
    return {
        "replay": msgspec.structs.replace(
            _rate(large_seconds, 10 * ROWS, kernel, "from Parquet to rows in memory, as training reads them"),
            goal="at least 400,000",
        ),
        "replay_to_files": _rate(file_seconds, ROWS, kernel, "from Parquet to Parquet, as `cardwatch replay`"),
        "replay_ten_times": compared(
            large_seconds,
            small_seconds,
            unit="s",
            how=f"{10 * ROWS:,} transactions over {ROWS:,}",
            goal="at most 11 times",
        ),
        "replay_memory": compared(
            large_mb,
            small_mb,
            unit="MB",
            how=f"peak of the process, {10 * ROWS:,} transactions over {ROWS:,}; {CARDS:,} cards",
            goal="the same",
        ),
    }


def _rate(seconds: list[float], rows: int, kernel: list[float], how: str) -> Metric:
    return Metric(
        value=rows / statistics.median(seconds),
        unit="transactions per second and core",
        baseline=ROWS / statistics.median(kernel),
        ratio=ratio([each / ROWS for each in kernel], [each / rows for each in seconds]),
        how=f"{rows:,} transactions {how}; over the kernel alone",
    )


def _replay_apart(*arguments: Path) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.replay", *map(str, arguments)], check=True, capture_output=True
    )
    return msgspec.json.decode(done.stdout, type=Run)


def _kernel_seconds() -> float:
    """The kernel alone, for as many rows as the small history has."""
    columns, cards = random_columns(ROWS, CARDS)
    states, table = empty_states(CARDS), random_table()
    begin = time.process_time()
    for start in range(0, ROWS, 65_536):
        fold(states, cards[start : start + 65_536], columns[start : start + 65_536], table)
    return time.process_time() - begin


def _main() -> None:
    history, *out = map(Path, sys.argv[1:])
    tables = history.parent / "tables"
    log, reference_tables = open_log(history), ReferenceTables(ReferenceTableStore(tables).all())
    next(replay_partition(log, 0, reference_tables, CardStates()))  # loads the kernel's code
    begin = time.process_time()
    if out:
        replay(ReplayRequest(transactions=history, tables=tables, out=out[0], jobs=1))
    else:
        for partition in log.partitions:
            for _ in replay_partition(log, partition, reference_tables, CardStates()):
                pass
    seconds = time.process_time() - begin
    sys.stdout.buffer.write(msgspec.json.encode(Run(seconds, _peak_bytes() / 1e6)))


def _peak_bytes() -> int:
    """Linux's `ru_maxrss` begins at what the parent had when it started this process; `VmHWM` does not."""
    if sys.platform == "darwin":
        return getrusage(RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


if __name__ == "__main__":
    _main()
