"""`cardwatch simulate`: the simulated transactions as one file with the ground truth, for `cardwatch evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.archive.layout import SCHEMAS, UTC_MS
from cardwatch.errors import Misconfigured
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from cardwatch.simulation.transaction_array import FraudType
from cardwatch.topics import TRANSACTIONS

_LOG_POSITION: Final = ("partition", "log_offset")
COLUMNS: Final = pa.schema(
    [
        *(field for field in SCHEMAS[TRANSACTIONS] if field.name not in _LOG_POSITION),
        pa.field("is_fraud", pa.bool_()),
        pa.field("observed_at", UTC_MS),
    ]
)
"""The fields of a transaction, whether it was fraud, and when that became known (null for genuine ones)."""


@click.command()
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where the Parquet file goes."
)
@click.option("--seed", default=7, type=click.IntRange(min=0), help="The same seed gives the same rows.")
@click.option("--days", default=90, type=click.IntRange(min=1), help="Number of days, from day 0 on.")
@click.option("--cards", default=2_000, type=click.IntRange(min=50), help="Number of cards.")
@click.option(
    "--change-after",
    type=click.IntRange(min=0),
    help="Number of the day on which fraud and spending change, as in the demo.  [default: no change]",
)
def simulate(out: Path, seed: int, days: int, cards: int, change_after: int | None) -> None:
    """Write simulated transactions as one Parquet file: all fields, what was fraud, and when it became known.

    Read it with `cardwatch evaluate --mapping examples/mappings/simulated.yaml`.
    """
    if change_after is not None and change_after >= days:
        raise click.BadParameter(f"{change_after} is not before the end, --days {days}", param_hint="--change-after")
    if not out.parent.is_dir():
        raise Misconfigured(f"--out {out}: there is no folder {out.parent}")
    table = simulated(SimulationSettings(seed=seed, cards=cards, change_day=change_after), days)
    try:
        pq.write_table(table, out, compression="zstd")
    except OSError as error:
        raise Misconfigured(f"--out {out}: cannot be written: {error}") from error
    frauds = table["is_fraud"].to_pylist().count(True)
    click.echo(f"{out}: {table.num_rows:,} transactions of {days} days, {frauds:,} of them fraud")


def simulated(settings: SimulationSettings, days: int) -> pa.Table:
    """Return the first `days` days of this simulation, schema `COLUMNS`, in order of time.

    The simulation continues after them until all of their frauds have become known.
    """
    simulation = Simulation(settings)
    written = [simulation.day(number) for number in range(days)]
    frauds = {transaction_id for events in written for transaction_id in _frauds(events)}
    known: dict[str, datetime] = {}
    _add_labels(known, frauds, written)
    number = days
    while len(known) < len(frauds):
        _add_labels(known, frauds, [simulation.day(number)])
        number += 1
    return pa.Table.from_batches([_batch(events, known) for events in written], COLUMNS)


def _frauds(events: EventsOfDay) -> Iterator[str]:
    for transaction, fraud_type in zip(events.transactions, events.fraud_types, strict=True):
        if fraud_type is not FraudType.GENUINE:
            yield transaction.transaction_id


def _add_labels(known: dict[str, datetime], frauds: set[str], days: list[EventsOfDay]) -> None:
    for events in days:
        known.update(
            {label.transaction_id: label.observed_at for label in events.labels if label.transaction_id in frauds}
        )


def _batch(events: EventsOfDay, known: dict[str, datetime]) -> pa.RecordBatch:
    rows: list[dict[str, Any]] = msgspec.to_builtins(events.transactions, builtin_types=(datetime,))
    for row in rows:
        row["observed_at"] = known.get(row["transaction_id"])
        row["is_fraud"] = row["observed_at"] is not None
    return pa.RecordBatch.from_pylist(rows, COLUMNS)
