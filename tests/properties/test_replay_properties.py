"""Stream, scoring requests and replay give the same bits for every log: late, repeated, shuffled, cut anywhere."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from adapters.archive.feature_rows import feature_matrix
from adapters.archive.layout import SCHEMAS
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import transaction_row
from adapters.runtime.settings import child_environment, read_settings
from cardwatch.events import EPOCH, AuthorizationOutcome, Channel, Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import (
    COMPROMISED_SECTION,
    MERCHANT_SECTION,
    MERCHANT_VALUES,
    ReferenceTable,
    TableSection,
)
from cardwatch.features.replay import fold_with_tables
from cardwatch.features.state import empty_states
from cardwatch.topics import TRANSACTIONS
from pipelines.replay import ReplayRequest, replay

PARTITIONS = 3
FIRST_DAY = 20_000
Log = list[tuple[int, Transaction]]

merchants = [f"merchant-{number}" for number in range(4)]
hashes = np.sort(np.array([identity_hash(name) for name in merchants], np.uint64))
low_bits = np.unique(hashes[:2] & np.uint64(0xFFFFFFFF))
TABLES = [
    ReferenceTable(
        FIRST_DAY + day,
        {
            MERCHANT_SECTION: TableSection(hashes, np.full((4, len(MERCHANT_VALUES)), day, np.float32)),
            COMPROMISED_SECTION: TableSection(low_bits, np.full((len(low_bits), 1), 1 + day, np.float32)),
        },
    )
    for day in (1, 2, 4)
]


@st.composite
def transactions(draw: st.DrawFn) -> tuple[int, Transaction]:
    """A transaction and its partition, which its card determines."""
    card = draw(st.integers(0, 7))
    here = draw(st.booleans())
    transaction = Transaction(
        transaction_id=draw(st.sampled_from([f"t-{number}" for number in range(30)])),
        card_id=f"card-{card}",
        merchant_id=draw(st.sampled_from(merchants)),
        occurred_at=EPOCH + timedelta(days=FIRST_DAY, milliseconds=draw(st.integers(0, 5 * 86_400_000))),
        amount_minor=draw(st.integers(0, 10**6)),
        currency="EUR",
        merchant_category=draw(st.sampled_from(["5411", "7995"])),
        channel=draw(st.sampled_from(Channel)),
        country=draw(st.sampled_from(["DE", "ZZ"])),
        latitude=50.0 if here else None,
        longitude=draw(st.floats(-10, 10)) if here else None,
        device_id=draw(st.none() | st.sampled_from(["d-1", "d-2"])),
        previous_outcome=draw(st.none() | st.sampled_from(AuthorizationOutcome)),
    )
    return card % PARTITIONS, transaction


logs = st.lists(transactions(), min_size=1, max_size=60)


def table_of(transaction: Transaction) -> ReferenceTable:
    """Return the newest table that is valid at the time of the transaction."""
    day = (transaction.occurred_at - EPOCH).days
    return max(
        (table for table in [ReferenceTable.empty(), *TABLES] if table.valid_from_day <= day),
        key=lambda table: table.valid_from_day,
    )


def streamed(log: Log, sizes: Sequence[int]) -> dict[tuple[int, int], bytes]:
    """Fold as the stream does, in batches of these sizes in turn; [1] is a scoring request at a time."""
    cards, index = card_index([transaction.card_id for _, transaction in log])
    states = empty_states(len(cards))
    rows: list[bytes] = []
    while len(rows) < len(log):
        start = len(rows)
        part = [transaction for _, transaction in log[start : start + sizes[start % len(sizes)]]]
        chunk = slice(start, start + len(part))
        states = np.frombuffer(states.tobytes(), states.dtype).copy()
        folded = fold_with_tables(states, index[chunk], encode(part), [table_of(each) for each in part])
        rows += [row.tobytes() for row in folded.features]
    return dict(zip(positions_of(log), rows, strict=True))


def positions_of(log: Log) -> list[tuple[int, int]]:
    """Return partition and offset of each; every second offset is unused, as with Kafka's transaction markers."""
    ends = [0] * PARTITIONS
    positions = []
    for partition, _ in log:
        positions.append((partition, 2 * ends[partition]))
        ends[partition] += 1
    return positions


def write_log_and_tables(folder: Path, log: Log, row_group_size: int) -> None:
    write_by_event_date(folder / "transactions", log, row_group_size)
    for table in TABLES:
        ReferenceTableStore(folder / "tables").put(table)


def write_by_event_date(folder: Path, log: Log, row_group_size: int) -> None:
    rows = [transaction_row(t, *position) for (_, t), position in zip(log, positions_of(log), strict=True)]
    for day in {row["occurred_at"].date() for row in rows}:
        for partition in range(PARTITIONS):
            here = [row for row in rows if (row["occurred_at"].date(), row["partition"]) == (day, partition)]
            if here:
                path = folder / f"date={day}" / f"{partition:04d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                table = pa.Table.from_pylist(here, SCHEMAS[TRANSACTIONS])
                pq.write_table(table, path, row_group_size=row_group_size)


def by_position(folder: Path) -> dict[tuple[int, int], bytes]:
    rows = pq.read_table(folder)
    positions = zip(rows["partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True)
    return {position: row.tobytes() for position, row in zip(positions, feature_matrix(rows), strict=True)}


def replayed(
    log: Log, *, batch_rows: int, jobs: int | None = None, row_group_size: int = 100
) -> dict[tuple[int, int], bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log_and_tables(folder, log, row_group_size)
        replay(
            ReplayRequest(
                transactions=folder / "transactions",
                tables=folder / "tables",
                out=folder / "out",
                jobs=jobs,
                batch_rows=batch_rows,
            )
        )
        return by_position(folder / "out")


@pytest.mark.rubric("monitor-3")
@given(logs, st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(1, 40), st.integers(1, 20))
@settings(deadline=None, max_examples=40)
def test_stream_requests_and_replay_give_the_same_bits(
    log: Log, chunks: list[int], batch_rows: int, row_group_size: int
) -> None:
    single = streamed(log, [1])
    assert streamed(log, chunks) == single
    assert replayed(log, batch_rows=batch_rows, row_group_size=row_group_size) == single


@pytest.mark.spark
@given(st.lists(logs, min_size=20, max_size=20))
@settings(deadline=None, max_examples=2, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_spark_gives_the_same_bits_as_requests(many: list[Log]) -> None:
    # Twenty logs in one run, with different cards: a start of Spark takes as long as all of them.
    log = [
        (partition, structs.replace(transaction, card_id=f"{transaction.card_id}-of-{number}"))
        for number, one in enumerate(many)
        for partition, transaction in one
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log_and_tables(folder, log, row_group_size=50)
        arguments = [f"--{option}={folder / option}" for option in ("transactions", "tables", "out")]
        subprocess.run(
            [sys.executable, "-m", "cli.main", "backfill", "--master", "local[2]", *arguments],
            env=child_environment(read_settings({}, home=folder / "home")),
            capture_output=True,
            check=True,
            timeout=240,
        )
        assert by_position(folder / "out") == streamed(log, [1])


def test_several_processes_give_the_bits_of_one() -> None:
    log = [
        (
            number % 8 % PARTITIONS,
            Transaction(
                transaction_id=f"t-{number % 250}",
                card_id=f"card-{number % 8}",
                merchant_id=merchants[number % 3],
                occurred_at=EPOCH + timedelta(days=FIRST_DAY + number % 5, minutes=number),
                amount_minor=number,
                currency="EUR",
                merchant_category="5411",
                channel=Channel.CHIP,
                country="DE",
            ),
        )
        for number in range(300)
    ]
    assert replayed(log, batch_rows=50, jobs=2) == replayed(log, batch_rows=7, jobs=1) == streamed(log, [1])


def test_a_table_is_valid_from_the_start_of_its_day() -> None:
    assert [table.valid_from.date() for table in TABLES] == [
        date(1970, 1, 1) + timedelta(days=FIRST_DAY + day) for day in (1, 2, 4)
    ]
