"""`cardwatch tables`: the reference tables of decisions and training."""

from __future__ import annotations

import click

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import read_settings
from cardwatch.features.reference_table import DEVICE_SECTION, MERCHANT_SECTION


@click.command()
def tables() -> None:
    """List the reference tables: first valid day, id, numbers of merchants and devices, and label offsets by partition.

    Every table is read and checked. A damaged one is reported with a remedy.
    """
    for table in ReferenceTableStore(read_settings().tables).all():
        positions = ", ".join(f"{partition}: {end}" for partition, end in table.label_positions.items()) or "none"
        merchants, devices = (len(table.sections[number].hashes) for number in (MERCHANT_SECTION, DEVICE_SECTION))
        entities = f"{merchants:,} merchants  {devices:,} devices"
        click.echo(f"{table.valid_from.date()}  {table.table_id}  {entities}  labels {positions}")
