"""`cardwatch tables`: the reference tables of decisions and training."""

from __future__ import annotations

import click

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import read_settings


@click.command()
def tables() -> None:
    """List the reference tables: first valid day, id, number of merchants, and label offsets by partition.

    Every table is read and checked. A damaged one is reported with a remedy.
    """
    for table in ReferenceTableStore(read_settings().tables).all():
        positions = ", ".join(f"{partition}: {end}" for partition, end in table.label_positions.items()) or "none"
        click.echo(
            f"{table.valid_from.date()}  {table.table_id}  {len(table.merchants):,} merchants  labels {positions}"
        )
