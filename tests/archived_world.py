"""A small simulated world in an archive, with its days closed as the archive service closes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from adapters.archive.reference_feed import add_rows
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, Row, label_row, transaction_row
from cardwatch.events import Label, Transaction
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from services.archive.day_closing import close_day


def archive_world(
    folder: Path,
    settings: SimulationSettings,
    days: int,
    partitions: int,
    late_days: int = 1,
    changed: Callable[[int, Sequence[Transaction]], Sequence[Transaction]] = lambda _number, transactions: transactions,
) -> None:
    """Write `folder/archive` and `folder/tables`.

    `changed` returns the transactions that the source sends on a day instead of the simulated ones. Every third label
    arrives `late_days` days after it was observed, when the tables it belongs to are already there.
    """
    world, builder, tables = Simulation(settings), ReferenceBuilder(), ReferenceTableStore(folder / "tables")
    ends = {(topic, p): 0 for topic in ("transactions", "labels") for p in range(partitions)}
    late: dict[int, list[Label]] = {}
    with closing(ArchiveWriter(folder / "archive")) as archive:
        for number in range(days):
            events = world.day(number)
            late[number + late_days] = list(events.labels[::3])
            labels = [label for at, label in enumerate(events.labels) if at % 3] + late.pop(number, [])
            rows: dict[str, list[Row]] = {"transactions": [], "labels": []}
            for topic, records in (("transactions", changed(number, events.transactions)), ("labels", labels)):
                for each in records:
                    place = topic, zlib.crc32(each.card_id.encode()) % partitions
                    make = label_row if topic == "labels" else transaction_row
                    rows[topic].append(make(each, place[1], ends[place]))  # type: ignore[operator]
                    ends[place] += 1
            add_rows(builder, rows["transactions"], rows["labels"])
            archive.write(rows, ends)
            label_ends = {partition: end for (topic, partition), end in ends.items() if topic == "labels"}
            close_day(events.day, archive, tables, builder, label_ends=label_ends, announce=lambda _record: None)
            assert tables.of_day(events.day + timedelta(days=1)) is not None
