"""`cardwatch backfill`: the archived log as feature rows, by Spark."""

from __future__ import annotations

from pathlib import Path

import click

from cli.pipeline_process import TABLES_OPTION, TRANSACTIONS_OPTION, run_pipeline


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder that is not there yet.")
@TRANSACTIONS_OPTION
@TABLES_OPTION
@click.option("--master", default="local[*]", help="Spark's master.")
def backfill(out: Path, transactions: Path | None, tables: Path | None, master: str) -> None:
    """Write what `cardwatch replay` writes, to the bit, by Spark: for histories that outgrow one machine.

    It needs pyspark, which is not installed by default: `uv sync --group spark`.
    """
    run_pipeline("spark.launcher", transactions=transactions, tables=tables, out=out, master=master)
