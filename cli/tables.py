"""`cardwatch tables`: the reference tables that decisions and training can name."""

from __future__ import annotations

import click

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import read_settings


@click.command()
def tables() -> None:
    """List the reference tables: the day they are valid from, id, merchants, label-log position by partition.

    Every table is read and checked: a damaged one is named, with what to do about it.
    """
    for table in ReferenceTableStore(read_settings().tables).all():
        positions = ", ".join(f"{partition}: {end}" for partition, end in table.label_positions.items()) or "none"
        click.echo(
            f"{table.valid_from.date()}  {table.table_id}  {len(table.merchants):,} merchants  labels {positions}"
        )
