"""The files of a simulated world, written as the days are simulated."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.runtime.files import atomic_folder
from cardwatch.simulation.labels import newest_labels
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import SimulatedDay
from cli.simulate.columns import DECIDED_COLUMNS, TRANSACTION_COLUMNS, TRUTH_COLUMNS, DayTables

ROWS_PER_GROUP: Final = 131_072
"""Rows of a row group. A world has the same bytes however many days are in memory at a time, which is one."""
TRANSACTIONS_FILE: Final = "transactions.parquet"
TRUTH_FILE: Final = "truth.parquet"
TIMELINE_FILE: Final = "timeline.json"
LABELS_FILE: Final = "labels.json"
APPROVED: Final = {"decisions": "none", "others": "approved"}
"""What `labels.json` says of a world without decisions: its labels are those of approved transactions."""


class WorldCounts(NamedTuple):
    """Numbers of transactions, of those that are reported as fraud, and of campaigns of fraudsters."""

    transactions: int
    reported: int
    campaigns: int


class GroupWriter:
    """Writes tables as row groups of `ROWS_PER_GROUP` rows, whatever the sizes of the tables are."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Add the rows of a table."""
        self._waiting.append(table)
        self._rows += table.num_rows
        while self._rows >= ROWS_PER_GROUP:
            waiting = pa.concat_tables(self._waiting)
            self._writer.write_table(waiting.slice(0, ROWS_PER_GROUP))
            # A copy: a slice would keep the memory of the rows before it.
            self._waiting = [waiting.slice(ROWS_PER_GROUP).take(np.arange(waiting.num_rows - ROWS_PER_GROUP))]
            self._rows -= ROWS_PER_GROUP

    def close(self) -> None:
        """Write the rest, and the file's end."""
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._writer.close()


def write_world(
    out: Path,
    days: Iterable[SimulatedDay],
    tables: DayTables,
    settings: SimulationSettings,
    decisions: dict[str, str] | None = None,
) -> WorldCounts:
    """Write the files of these days and settings into the new folder `out`. Raises `Misconfigured` if it cannot.

    `decisions` describes where the decisions come from, None if everything was approved. If anything fails, nothing is
    left behind.
    """
    transactions = reported = 0
    campaigns: set[int] = set()
    with atomic_folder(out) as folder, ExitStack() as stack:
        _write_json(folder / TIMELINE_FILE, dated(settings))
        written = {"maturity_days": settings.labels.maturity_days, **(decisions or APPROVED)}
        _write_json(folder / LABELS_FILE, msgspec.to_builtins(settings.labels) | written)
        schema = TRANSACTION_COLUMNS if decisions is None else DECIDED_COLUMNS
        rows = GroupWriter(folder / TRANSACTIONS_FILE, schema)
        stack.callback(rows.close)
        truth = GroupWriter(folder / TRUTH_FILE, TRUTH_COLUMNS)
        stack.callback(truth.close)
        for day in days:
            table = tables.transactions(day)
            rows.write(table)
            truth.write(tables.truth(day))
            transactions += table.num_rows
            reported += int(newest_labels(day.reports)["is_fraud"].sum())
            campaigns.update(day.transactions["campaign"][day.transactions["campaign"] > 0].tolist())
    return WorldCounts(transactions, reported, len(campaigns))


def dated(settings: SimulationSettings) -> list[dict[str, object]]:
    """Return the events of a world with their days as dates.

    `first_day`: of the onset; `full_from`: of the full strength; `last_day`: of the first occurrence, None for ever.
    """

    def day(number: int) -> str:
        return (settings.first_day + timedelta(days=number)).isoformat()

    return [
        {
            "first_day": day(event.from_day),
            "full_from": day(event.from_day + event.ramp_days),
            "last_day": None if event.until_day is None else day(event.until_day - 1),
            **msgspec.to_builtins(event),
        }
        for event in settings.events()
    ]


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
