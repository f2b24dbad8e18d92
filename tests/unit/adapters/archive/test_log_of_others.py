"""Parquet files of other programs as a log: read if they are one, else refused with file and column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.archive.arrow_columns import KERNEL_COLUMNS, arrow_kernel_rows, distinct
from adapters.archive.reader import open_log, transaction_files
from cardwatch.errors import CardwatchError, Misconfigured

NOON = datetime(2025, 1, 2, 12, tzinfo=UTC)
ROWS = 3
TIMES = pa.array([NOON + timedelta(minutes=minute) for minute in range(ROWS)], pa.timestamp("ms", "UTC"))
LOG: dict[str, Any] = {
    "partition": pa.array([0] * ROWS, pa.int32()),
    "log_offset": pa.array(range(ROWS), pa.int64()),
    "transaction_id": pa.array(["a", "b", "c"]),
    "card_id": pa.array(["card"] * ROWS),
    "merchant_id": pa.array(["shop"] * ROWS),
    "occurred_at": TIMES,
    "amount_minor": pa.array([100] * ROWS, pa.int64()),
    "merchant_category": pa.array(["5411"] * ROWS),
    "channel": pa.array(["chip"] * ROWS),
    "country": pa.array(["DE"] * ROWS),
    "latitude": pa.nulls(ROWS),
    "longitude": pa.array([None] * ROWS, pa.float64()),
    "device_id": pa.nulls(ROWS),
    "previous_outcome": pa.array([None] * ROWS, pa.string()),
}


def write(folder: Path, name: str = "log", **columns: Any) -> Path:
    pq.write_table(pa.table(LOG | columns), folder / f"{name}.parquet")
    return folder


def read(folder: Path) -> pa.Table:
    log = open_log(folder)
    return pa.concat_tables(each for number in log.partitions for each in log.transactions(number, KERNEL_COLUMNS))


@pytest.mark.parametrize("name", LOG)
def test_a_file_without_a_column_of_the_log_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table(LOG).drop([name]), tmp_path / "log.parquet")
    with pytest.raises(Misconfigured, match=rf"log\.parquet has no column {name}; a log needs partition, "):
        transaction_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("partition", ["0"] * ROWS, "has the type string; it must be a whole number"),
        ("partition", [0.5] * ROWS, "has the type double; it must be a whole number"),
        ("partition", [0, 1, 2_000_000_000], "reaches from 0 to 2000000000, outside 0 to 99999"),
        ("partition", [-1, 0, 0], "reaches from -1 to 0, outside 0 to 99999"),
        ("partition", [0, None, 0], "1 rows have no partition, which is required"),
        ("log_offset", [0, None, 2], "1 rows have no log_offset, which is required"),
        ("log_offset", TIMES, r"has the type timestamp\[ms, tz=UTC\]; it must be a whole number"),
        ("log_offset", pa.array([0, 1, 2**64 - 1], pa.uint64()), "reaches from 0 to 18446744073709551615, outside"),
        ("occurred_at", ["2025-01-02T12:00:00Z"] * ROWS, "has the type string; it must be a timestamp"),
        ("occurred_at", [1_735_819_200_000] * ROWS, "has the type int64; it must be a timestamp"),
        ("amount_minor", [1.5] * ROWS, "has the type double; it must be a whole number of minor units"),
        ("amount_minor", [Decimal("1.50")] * ROWS, r"has the type decimal128\(3, 2\); it must be a whole number"),
        ("amount_minor", pa.array([2**64 - 1] * ROWS, pa.uint64()), "outside 0 to 1000000000000"),
        ("amount_minor", [-1] * ROWS, "outside 0 to 1000000000000"),
        ("merchant_category", [742] * ROWS, "has the type int64; it must be text"),  # it has lost its zero
        ("card_id", [["card"]] * ROWS, "has the type list.*; it must be text"),
        ("card_id", [b"card"] * ROWS, "has the type binary; it must be text"),
        ("card_id", [None, "card", "card"], "1 rows have no card_id, which is required"),
        ("card_id", pa.nulls(ROWS), "has the type null; it must be text"),
        ("latitude", ["52.5"] * ROWS, "has the type string; it must be a number of degrees"),
    ],
)
def test_values_of_another_kind_are_refused_with_file_and_column(
    tmp_path: Path, name: str, values: Any, message: str
) -> None:
    with pytest.raises(Misconfigured, match=rf"log\.parquet: .*{message}"):
        transaction_files(write(tmp_path, **{name: values}))


@pytest.mark.parametrize("content", [b"", b"x", b"PAR1" + bytes(50) + b"PAR1", b"time,card\n"])
def test_a_file_that_is_no_parquet_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    write(tmp_path).joinpath("other.parquet").write_bytes(content)
    with pytest.raises(Misconfigured, match=r"other\.parquet cannot be read as Parquet: "):
        transaction_files(tmp_path)


def test_files_whose_types_differ_in_width_are_one_log(tmp_path: Path) -> None:
    write(tmp_path)
    later = {
        "log_offset": pa.array(range(ROWS, 2 * ROWS), pa.int32()),
        "amount_minor": pa.array([7] * ROWS, pa.int16()),
    }
    naive = {
        "occurred_at": TIMES.cast(pa.timestamp("us", "UTC")),
        "card_id": pa.array(["card"] * ROWS, pa.large_string()),
    }
    write(tmp_path, "later", **later, **naive)
    rows = read(tmp_path)
    assert rows["log_offset"].to_pylist() == list(range(2 * ROWS))
    assert arrow_kernel_rows(rows)["amount_minor"].tolist() == [100] * ROWS + [7] * ROWS


def test_values_that_only_reading_shows_are_errors_of_their_column(tmp_path: Path) -> None:
    fine = pa.array([int(NOON.timestamp()) * 10**6 + 1] * ROWS, pa.timestamp("us", "UTC"))
    with pytest.raises(CardwatchError, match="occurred_at holds no times in whole milliseconds"):
        arrow_kernel_rows(read(write(tmp_path, occurred_at=fine)))
    with pytest.raises(CardwatchError, match="'99999999999' in the column merchant_category has no code"):
        arrow_kernel_rows(read(write(tmp_path, merchant_category=["99999999999"] * ROWS)))
    cards = pa.Array.from_buffers(pa.string(), ROWS, pa.array([b"caf\xe9"] * ROWS).buffers())
    with pytest.raises(CardwatchError, match="an identifier is not UTF-8 text"):
        distinct(read(write(tmp_path, card_id=cards))["card_id"])
