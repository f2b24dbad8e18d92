"""The files of reference tables: seen as soon as they are there, never by half, and refused if damaged."""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.archive.reference_tables import ReferenceTableStore
from cardwatch.errors import CardwatchError, CorruptTable
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import MERCHANT_VALUES, ReferenceTable

log = logging.getLogger(__name__)

FIRST = date(2025, 1, 1)
DAYS = 150


def later(days: int) -> date:
    return FIRST + timedelta(days=days)


def table_of(day: date, *, merchants: int = 3) -> ReferenceTable:
    number = (day - EPOCH.date()).days
    values = np.full((merchants, len(MERCHANT_VALUES)), number, np.float32)
    return ReferenceTable.of_merchants(number, np.arange(merchants, dtype=np.uint64), values)


@pytest.fixture
def store(tmp_path: Path) -> ReferenceTableStore:
    return ReferenceTableStore(tmp_path)


def test_the_newest_is_the_last_one_that_is_valid_by_then(store: ReferenceTableStore) -> None:
    for days in (0, 10, 20):
        store.put(table_of(later(days)))
    found = {days: store.newest(later(days)).valid_from.date() for days in (0, 9, 10, 19, 20, 400)}
    assert found == {0: FIRST, 9: FIRST, 10: later(10), 19: later(10), 20: later(20), 400: later(20)}
    assert store.newest(later(-1)).table_id == ReferenceTable.empty().table_id
    assert store.newest(date.max).valid_from.date() == later(20)


def test_a_table_is_seen_at_once_by_a_reader_that_has_just_asked(tmp_path: Path, store: ReferenceTableStore) -> None:
    writer = ReferenceTableStore(tmp_path)
    for days in range(20):
        assert store.newest(later(days)).valid_from_day in (0, (later(days - 1) - EPOCH.date()).days)
        writer.put(table_of(later(days)))
        assert store.newest(later(days)).valid_from.date() == later(days)


def test_a_change_that_the_folders_time_stamp_does_not_show_is_seen_two_seconds_later(
    tmp_path: Path, store: ReferenceTableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    store.put(table_of(FIRST))
    assert store.newest(later(5)).valid_from.date() == FIRST
    changed_ns = tmp_path.stat().st_mtime_ns
    ReferenceTableStore(tmp_path).put(table_of(later(1)))
    os.utime(tmp_path, ns=(changed_ns, changed_ns))  # as on a file system whose clock ticks every two seconds
    clock[0] += 2.0
    assert store.newest(later(5)).valid_from.date() == later(1)


def test_while_nothing_changes_the_folder_is_not_listed(
    store: ReferenceTableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    store.put(table_of(FIRST))
    listings = []
    real = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: listings.append(pattern) or real(path, pattern))
    for _ in range(1_000):
        clock[0] += 1.0
        store.newest(later(5))
    assert len(listings) == 2


def test_a_table_appears_while_others_ask_and_no_question_fails_or_gets_one_that_is_not_valid(
    tmp_path: Path,
) -> None:
    asked, written, slowest = ReferenceTableStore(tmp_path), threading.Event(), [0.0, 0.0]
    stored = [-1]
    wrong: list[str] = []

    def ask(number: int) -> None:
        while not written.is_set():
            sure, before = stored[0], time.perf_counter()
            for ahead in (0, 1, 500):
                day = later(max(sure, 0) + ahead)
                found = asked.newest(day).valid_from.date()
                if found > day or (sure >= 0 and found < later(sure)):
                    wrong.append(f"{day}: {found}, although {later(sure)} was stored")
            slowest[number] = max(slowest[number], time.perf_counter() - before)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    writer = ReferenceTableStore(tmp_path)
    try:
        for days in range(DAYS):
            writer.put(table_of(later(days), merchants=2_000))
            stored[0] = days
    finally:
        written.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    log.info("the slowest three questions took %.2f ms", 1_000 * max(slowest))  # pytest --log-cli-level=INFO shows it
    assert max(slowest) < 1.0  # a pause would be seconds; this allows for a busy machine


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: table_of(later(1)).to_bytes(),
    ],
    ids=["emptied", "cut", "one bit", "another table"],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, damage: object) -> None:
    ReferenceTableStore(tmp_path).put(table_of(FIRST))
    [path] = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    store = ReferenceTableStore(tmp_path)
    for read in (lambda: store.newest(FIRST), lambda: store.of_day(FIRST), store.all):
        with pytest.raises(CorruptTable, match=path.name):
            read()


def test_a_damaged_file_that_is_put_right_or_removed_is_no_longer_in_the_way(tmp_path: Path) -> None:
    store = ReferenceTableStore(tmp_path)
    for days in (0, 1):
        ReferenceTableStore(tmp_path).put(table_of(later(days)))
    path = max(tmp_path.iterdir())
    good = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(CorruptTable):
        store.newest(later(1))
    path.unlink()
    assert store.newest(later(1)).valid_from.date() == FIRST
    path.write_bytes(good)
    assert store.newest(later(1)).valid_from.date() == later(1)


def test_a_half_written_file_is_not_looked_at(tmp_path: Path, store: ReferenceTableStore) -> None:
    store.put(table_of(FIRST))
    (tmp_path / f".{later(1)}-0123.table.tmp").write_bytes(b"half a ta")
    assert store.newest(later(1)).valid_from.date() == FIRST


def test_what_is_held_in_memory_is_bounded(store: ReferenceTableStore) -> None:
    for days in range(DAYS):
        store.put(table_of(later(days)))
        store.newest(later(days))
    assert store._load.cache_info().currsize <= 60
    assert len(store._of_day) <= 60
    assert store.newest(FIRST).valid_from.date() == FIRST


def test_the_table_of_a_decision_is_found_by_its_id(store: ReferenceTableStore) -> None:
    table = table_of(FIRST)
    store.put(table)
    assert store.get(table.table_id).to_bytes() == table.to_bytes()
    assert store.get(ReferenceTable.empty().table_id).valid_from_day == 0
    with pytest.raises(CardwatchError, match="0000 is not in"):
        store.get("0000")
