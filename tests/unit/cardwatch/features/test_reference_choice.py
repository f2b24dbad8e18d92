"""The choice of the reference table for a transaction, and when the rules must decide instead."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from adapters.archive.reference_tables import ReferenceTableStore
from cardwatch.events import EPOCH
from cardwatch.features.reference_choice import choose_table, why_stale
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable
from tests.former_version import former_table, write_former_table

FIRST = date(2025, 1, 1)


def table_of(day: date) -> ReferenceTable:
    return ReferenceTable.empty((day - EPOCH.date()).days)


@pytest.mark.parametrize(("age", "is_stale"), [(-1, False), (0, False), (29, False), (30, True), (400, True)])
def test_a_table_is_stale_when_its_windows_do_not_overlap_with_those_of_today(age: int, is_stale: bool) -> None:
    assert WINDOW_DAYS == 30
    assert (why_stale(table_of(FIRST), FIRST + timedelta(days=age)) is not None) is is_stale


def test_the_reason_names_the_table_and_its_age() -> None:
    assert why_stale(table_of(FIRST), date(2025, 2, 15)) == "the reference table of 2025-01-01 is 45 days old"


@pytest.mark.parametrize("day", [date.min, FIRST, date.max])
def test_a_system_without_any_table_is_not_stale(tmp_path: Path, day: date) -> None:
    choice = choose_table(ReferenceTableStore(tmp_path), day)
    assert choice.degraded_reason is None
    assert choice.table.table_id == ReferenceTable.empty().table_id


def test_a_damaged_table_is_replaced_by_the_empty_one_and_a_reason(tmp_path: Path) -> None:
    ReferenceTableStore(tmp_path).put(table_of(FIRST))
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    choice = choose_table(ReferenceTableStore(tmp_path), FIRST)
    assert choice.table.table_id == ReferenceTable.empty().table_id
    assert choice.degraded_reason is not None
    assert str(path) in choice.degraded_reason


def test_a_table_of_a_former_version_is_replaced_by_the_empty_one_and_the_reason_names_the_remedy(
    tmp_path: Path,
) -> None:
    write_former_table(tmp_path, FIRST, former_table(FIRST, {"0": 7}))
    choice = choose_table(ReferenceTableStore(tmp_path), FIRST)
    assert choice.table.table_id == ReferenceTable.empty().table_id
    assert choice.degraded_reason is not None
    assert "run `cardwatch upgrade`, which builds it again from the archive" in choice.degraded_reason
