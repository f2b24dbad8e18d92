"""Reading a log that lies in overlapping Parquet files, and what is refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.archive.log_files import find_row_groups, partitions_of, read_in_log_order
from cardwatch.errors import CardwatchError


def write(path: Path, *places: tuple[int, int], **options: object) -> tuple[Path, int]:
    partitions, offsets = zip(*places, strict=True)
    rows = pa.table({"partition": pa.array(partitions, pa.int32()), "log_offset": pa.array(offsets, pa.int64())})
    pq.write_table(rows, path, **options)  # type: ignore[arg-type]
    return path, len(places)


def offsets(files: list[tuple[Path, int]], partition: int, batch_rows: int = 100) -> list[int]:
    tables = read_in_log_order(find_row_groups(files), partition, [], batch_rows=batch_rows)
    return [offset for table in tables for offset in table["log_offset"].to_pylist()]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
@pytest.mark.parametrize("row_group_size", [1, 3, 100])
def test_late_rows_in_files_of_earlier_days_are_merged_by_offset(
    tmp_path: Path, batch_rows: int, row_group_size: int
) -> None:
    first = write(tmp_path / "day-1", *[(0, o) for o in (0, 1, 2, 9)], row_group_size=row_group_size)
    second = write(tmp_path / "day-2", *[(0, o) for o in (3, 5, 6, 7, 12)], row_group_size=row_group_size)
    third = write(tmp_path / "day-3", *[(0, o) for o in (8, 10, 11)], row_group_size=row_group_size)
    assert offsets([third, second, first], 0, batch_rows) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]


def test_each_partition_is_read_by_itself_from_files_that_hold_several(tmp_path: Path) -> None:
    mixed = write(tmp_path / "mixed", (0, 4), (2, 1), (0, 5), (2, 2))
    apart = write(tmp_path / "apart", (2, 7), (2, 8))
    assert offsets([mixed, apart], 0) == [4, 5]
    assert offsets([mixed, apart], 2) == [1, 2, 7, 8]
    assert {0, 2} <= set(partitions_of(find_row_groups([mixed, apart])))


def test_rows_of_files_from_before_the_card_range_have_none(tmp_path: Path) -> None:
    former, newer = write(tmp_path / "former", (0, 1), (0, 3)), write(tmp_path / "newer", (0, 2), (0, 4))
    rows = pq.read_table(newer[0])
    pq.write_table(rows.add_column(0, "card_range", pa.array(["a", "b"])), newer[0])
    for files, expected in (([former, newer], [None, "a", None, "b"]), ([former], [None, None])):
        found = pa.concat_tables(read_in_log_order(find_row_groups(files), 0, ["card_range"]))
        assert found["card_range"].to_pylist() == expected


def test_an_offset_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "a", (0, 1), (0, 2)), write(tmp_path / "b", (0, 2), (0, 3))]
    with pytest.raises(CardwatchError, match="offset 2 of partition 0 is in the archive twice"):
        offsets(files, 0)


def test_a_file_that_is_not_in_order_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CardwatchError, match="a: partition 0 is not in the order of log_offset"):
        offsets([write(tmp_path / "a", (0, 2), (0, 1))], 0)


def test_a_missing_file_and_missing_rows_are_refused_by_name(tmp_path: Path) -> None:
    path, rows = write(tmp_path / "a", (0, 1), (0, 2))
    with pytest.raises(CardwatchError, match="a has 2 rows, the archive's manifest says 3"):
        find_row_groups([(path, rows + 1)])
    with pytest.raises(CardwatchError, match="lost cannot be read"):
        find_row_groups([(tmp_path / "lost", 1)])


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path, rows = write(tmp_path / "a", *[(0, o) for o in range(1_000)])
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(CardwatchError, match="a cannot be read"):
        offsets([(path, rows)], 0)


def test_a_file_that_does_not_say_where_in_the_log_its_rows_are_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"partition": [0]}), tmp_path / "a")
    with pytest.raises(CardwatchError, match="a has no column log_offset"):
        find_row_groups([(tmp_path / "a", None)])
    write(tmp_path / "b", (0, 0), write_statistics=False)
    with pytest.raises(CardwatchError, match="b has no Parquet statistics of partition"):
        find_row_groups([(tmp_path / "b", None)])
