"""`cardwatch replay`: the archived log as feature rows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from cli.pipeline_process import TABLES_OPTION, TRANSACTIONS_OPTION, run_pipeline

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@TRANSACTIONS_OPTION
@TABLES_OPTION
@click.option("--from", "first", type=_DAY, help="The first event day to write (UTC).")
@click.option("--to", "last", type=_DAY, help="The last event day to write, included.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at most.  [default: one per core]")
def replay(
    out: Path,
    transactions: Path | None,
    tables: Path | None,
    first: datetime | None,
    last: datetime | None,
    jobs: int | None,
) -> None:
    """Write the feature rows of all archived transactions as Parquet, a file per partition, in log order.

    Every row is the one that the stream computed, to the bit: with the reference table that its decision recorded.
    Days before --from are folded into the cards' histories, and not written.
    """
    days = {"first_day": first and first.date(), "last_day": last and last.date()}
    run_pipeline("replay", transactions=transactions, tables=tables, out=out, **days, jobs=jobs)
