"""Monitoring a day over a million decisions: processor time and memory of a fresh process.

One day looks at the decisions of twelve: the newest week for drift, the newest mature week for performance, and the
days between. A small simulated world is decided and monitored in memory, and its records are written to an archive in
files often enough that these days hold a million decisions. Then a process of its own observes the day.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any, Final

import msgspec
import pyarrow as pa
from msgspec import Struct

from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter
from adapters.runtime.files import read_folder
from adapters.runtime.policy_file import Policies
from benchmarks.harness import Metric, Metrics
from cardwatch.data_contract.quarantine import QuarantineState
from cardwatch.label_maturity import end_of_day
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from monitoring.watched import WATCHED
from services.monitor.observation import Observer
from stress.loop import MonitoredLoop
from stress.memory_registry import MemoryRegistry

DECISIONS_OF_WINDOW: Final = 1_000_000
HISTORY_DAYS: Final = 45
LIVE_DAYS: Final = 20
DAYS_READ: Final = 12
"""Days of decisions that a day looks at: `drift_days` or `maturity_days + performance_days`, whichever is more."""
SETTINGS: Final = SimulationSettings(seed=5)
_TAGS: Final = "tags.json"


class ObservedDay(Struct, frozen=True):
    """A day observed in a process of its own: processor and wall time in seconds without imports, and peak memory."""

    decisions: int
    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    compared: int


def measure() -> Metrics:
    """Return the processor time and the memory of one observed day."""
    with tempfile.TemporaryDirectory() as folder:
        day = prepare(Path(folder))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.monitoring", folder, day.isoformat()], check=True, capture_output=True
        )
    observed = msgspec.json.decode(done.stdout, type=ObservedDay)
    of = f"one day over {observed.decisions:,} decisions, {observed.compared} columns compared"
    return {
        "monitoring_time": Metric(
            value=observed.cpu_seconds,
            unit="s of processor time",
            baseline=observed.wall_seconds,
            ratio=observed.cpu_seconds / observed.wall_seconds,
            how=f"{of}; compared with wall time",
            goal="at most 60 s",
        ),
        "monitoring_memory": Metric(
            value=observed.peak_mb, unit="MB", how=f"peak of the process, {of}", goal="at most 2,000 MB"
        ),
    }


def prepare(folder: Path) -> date:
    """Write `folder/archive` and `folder/model`, and return the day to observe."""
    loop = MonitoredLoop(SETTINGS, Policies())
    loop.train_first_champion(HISTORY_DAYS)
    for _ in range(LIVE_DAYS):
        last = loop.run_live_day()
    champion = loop.registry.champion()
    (folder / "model").mkdir()
    for name, content in loop.registry.files(champion).items():
        (folder / "model" / name).write_bytes(content)
    (folder / _TAGS).write_bytes(msgspec.json.encode(champion.tags))
    archive = loop.world.archive
    first = last - timedelta(days=DAYS_READ - 1)
    copies = -(-DECISIONS_OF_WINDOW // archive.decisions(first, last).num_rows)
    ends = {TRANSACTIONS: 0, LABELS: 0}
    with closing(ArchiveWriter(folder / "archive")) as writer:
        for number in range(DAYS_READ):
            day = first + timedelta(days=number)
            transactions = archive.transactions(day, day)
            start = ends[TRANSACTIONS]
            rows = {
                TRANSACTIONS: _copied(transactions, copies, start, transactions),
                DECISIONS: _copied(archive.decisions(day, day), copies, start, transactions),
            }
            ends[TRANSACTIONS] += copies * transactions.num_rows
            writer.write(rows, {(TRANSACTIONS, 0): ends[TRANSACTIONS]})
            writer.close_day(day, archive.closed_days()[day])
        labels = archive.labels(end_of_day(last))
        writer.write({LABELS: _copied(labels, copies, 0, labels)}, {(LABELS, 0): copies * labels.num_rows})
    return last


def observe(folder: Path, day: date) -> ObservedDay:
    """Observe the day as the monitor does."""
    registry = MemoryRegistry()
    tags = msgspec.json.decode((folder / _TAGS).read_bytes(), type=dict[str, str])
    champion = registry.register(read_folder(folder / "model"), tags, promoted=True)
    archive, policies = Archive(folder / "archive"), Policies()
    wall, cpu = time.perf_counter(), time.process_time()
    observation = Observer(archive, registry, policies.drift, policies.decision).observe(
        day, champion, QuarantineState()
    )
    cpu_seconds, wall_seconds = time.process_time() - cpu, time.perf_counter() - wall
    if observation.performance is None:
        raise ValueError("no performance was measured: the labels were not read")
    return ObservedDay(
        decisions=sum(rows or 0 for _, rows in archive.files(DECISIONS)),
        cpu_seconds=cpu_seconds,
        wall_seconds=wall_seconds,
        peak_mb=getrusage(RUSAGE_SELF).ru_maxrss / 1e3,
        compared=len(WATCHED) - len(observation.not_compared),
    )


def _copied(table: pa.Table, copies: int, start: int, of_day: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table several times, with ids and log offsets of their own."""
    rows = table.to_pylist()
    first = of_day["log_offset"][0].as_py() if of_day.num_rows else 0
    return [
        row
        | {
            "transaction_id": f"{row['transaction_id']}-{copy}",
            "log_offset": start + copy * of_day.num_rows + row["log_offset"] - first,
        }
        for copy in range(copies)
        for row in rows
    ]


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(observe(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]))))
