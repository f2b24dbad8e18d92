"""`cardwatch backfill`: the archived log as feature rows, by Spark."""

from __future__ import annotations

from pathlib import Path

import click

from adapters.runtime.settings import read_settings
from cli.pipeline_process import run_pipeline

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder that is not there yet.")
@click.option("--transactions", type=_FOLDER, help="An archive or Parquet files.  [default: CARDWATCH_HOME/archive]")
@click.option("--tables", type=_FOLDER, help="The reference tables.  [default: CARDWATCH_HOME/tables]")
@click.option("--master", default="local[*]", show_default=True, help="Spark's master.")
def backfill(out: Path, transactions: Path | None, tables: Path | None, master: str) -> None:
    """Write what `cardwatch replay` writes, to the bit, by Spark: for histories that outgrow one machine.

    It needs pyspark, which is not installed by default: `uv sync --group spark`.
    """
    settings = read_settings()
    run_pipeline(
        "spark.launcher",
        {
            "transactions": transactions or settings.archive,
            "tables": tables or settings.tables,
            "out": out,
            "master": master,
        },
    )
