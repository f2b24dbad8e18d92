"""Runs a pipeline in a separate process, for commands that only start one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import click

from adapters.runtime.settings import child_environment, read_settings

_FOLDER: Final = click.Path(path_type=Path, exists=True, file_okay=False)
TRANSACTIONS_OPTION: Final = click.option(
    "--transactions", type=_FOLDER, help="An archive or Parquet files.  [default: CARDWATCH_HOME/archive]"
)
TABLES_OPTION: Final = click.option(
    "--tables", type=_FOLDER, help="The reference tables.  [default: CARDWATCH_HOME/tables]"
)


def run_pipeline(module: str, *, transactions: Path | None, tables: Path | None, **arguments: object) -> None:
    """Run `python -m pipelines.MODULE --name=value ...`, leaving out what is None, and end as it ends.

    `transactions` and `tables` are by default those of the settings.
    """
    settings = read_settings()
    arguments = {"transactions": transactions or settings.archive, "tables": tables or settings.tables, **arguments}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items() if value is not None]
    with subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{module}", *given], env=child_environment(settings)
    ) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            status = process.wait()
    if status:
        sys.exit(status)
