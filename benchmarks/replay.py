"""Replay of a history from Parquet to feature rows in Parquet: speed on one core, ten times the rows, memory.

Each replay runs in a process of its own (`python -m benchmarks.replay HISTORY OUT`), so that its memory is its own.
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
import numpy as np
from msgspec import Struct

from adapters.table_store import TableStore
from benchmarks.harness import Metric, Metrics, ratio
from benchmarks.histories import write_history
from benchmarks.transactions import random_columns, random_table
from cardwatch.features.kernel import fold
from cardwatch.features.state import empty_states
from pipelines.replay import ReplayRequest, replay

ROWS: Final = 400_000
CARDS: Final = 10_000
ROUNDS: Final = 3


class Run(Struct, frozen=True):
    """One replay: seconds without the start of the process, and the process's peak memory."""

    seconds: float
    peak_mb: float


def measure() -> Metrics:
    """Transactions per second and core, how time and memory grow, and the kernel's share."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_history(small, rows=ROWS, cards=CARDS, days=20)
        write_history(large, rows=10 * ROWS, cards=CARDS, days=20)
        TableStore(Path(folder) / "tables").put(random_table())
        runs: dict[Path, list[Run]] = {small: [], large: []}
        kernel = []
        for round_ in range(ROUNDS):
            for history, of_history in runs.items():
                of_history.append(_replay_apart(history, Path(folder) / f"{history.name}-rows-{round_}"))
            kernel.append(_kernel_seconds())
    small_seconds, large_seconds = ([run.seconds for run in runs[history]] for history in (small, large))
    return {
        "replay_one_core": Metric(
            value=10 * ROWS / statistics.median(large_seconds),
            unit="transactions per second",
            baseline=10 * ROWS / statistics.median(kernel) / 10,
            ratio=ratio(kernel, [seconds / 10 for seconds in large_seconds]),
            how=f"{10 * ROWS:,} transactions, Parquet to Parquet, all features, one process; over the kernel alone",
            goal="at least 400,000",
        ),
        "replay_ten_times": Metric(
            value=statistics.median(large_seconds),
            unit="s",
            baseline=statistics.median(small_seconds),
            ratio=ratio(large_seconds, small_seconds),
            how=f"{10 * ROWS:,} transactions over {ROWS:,}",
            goal="at most 11 times",
        ),
        "replay_memory": Metric(
            value=statistics.median(run.peak_mb for run in runs[large]),
            unit="MB",
            baseline=statistics.median(run.peak_mb for run in runs[small]),
            ratio=ratio([run.peak_mb for run in runs[large]], [run.peak_mb for run in runs[small]]),
            how=f"peak of the process, {10 * ROWS:,} transactions over {ROWS:,}; {CARDS:,} cards",
            goal="the same",
        ),
    }


def _replay_apart(history: Path, out: Path) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.replay", str(history), str(out)], check=True, capture_output=True
    )
    return msgspec.json.decode(done.stdout, type=Run)


def _kernel_seconds() -> float:
    """The kernel alone, for as many rows as the small history has."""
    columns, cards = random_columns(ROWS, CARDS)
    states, table = empty_states(CARDS), random_table()
    begin = time.perf_counter()
    for start in range(0, ROWS, 65_536):
        fold(states, cards[start : start + 65_536], columns[start : start + 65_536], table)
    return time.perf_counter() - begin


def _main() -> None:
    history, out = map(Path, sys.argv[1:])
    columns, cards = random_columns(10, 1)
    fold(empty_states(1), cards, np.array(columns), random_table())  # loads the kernel's code
    begin = time.perf_counter()
    replay(ReplayRequest(transactions=history, tables=history.parent / "tables", out=out, jobs=1))
    seconds = time.perf_counter() - begin
    peak = getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.buffer.write(msgspec.json.encode(Run(seconds, peak / 1e6)))


if __name__ == "__main__":
    _main()
