"""What the archive promises, whichever database its index is in: SQLite beside the files, PostgreSQL on a server."""

from __future__ import annotations

import gc
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.archive import index as archive_index
from adapters.archive.archived_log import ArchivedLog
from adapters.archive.reader import Archive, index_url_of, open_log, transaction_files
from adapters.archive.writer import ArchiveWriter, Row, label_row, transaction_row
from adapters.runtime.settings import Secret, Settings
from cardwatch.errors import ArchiveUnavailable, Misconfigured
from cardwatch.events import Channel, Label, LabelSource, Transaction
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
MONDAY, TUESDAY = date(2025, 1, 6), date(2025, 1, 7)


def payment(offset: int, at: datetime = NOON) -> Row:
    transaction = Transaction(
        transaction_id=f"t-{offset}",
        card_id="c",
        merchant_id="m",
        occurred_at=at,
        amount_minor=100,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )
    return transaction_row(transaction, 0, offset)


def label(offset: int) -> Row:
    said = Label(
        transaction_id="t-0",
        card_id="c",
        merchant_id="m",
        is_fraud=True,
        effective_at=NOON,
        observed_at=NOON + timedelta(days=2),
        source=LabelSource.CUSTOMER,
    )
    return label_row(said, 0, offset)


Place = tuple[Path, str]
"""Where an archive is: folder, and the address of its index."""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()
    yield tmp_path / "archive", url
    gc.collect()  # a connection that was not closed would say so now


def write(place: Place, rows: dict[str, list[Row]], positions: dict[tuple[str, int], int]) -> None:
    with closing(ArchiveWriter(*place)) as writer:
        writer.write(rows, positions)


def offsets(place: Place) -> list[int]:
    found: list[int] = Archive(*place).transactions(date.min, date.max)["log_offset"].to_pylist()
    return found


def test_rows_and_positions_come_back_in_log_order(place: Place) -> None:
    write(place, {TRANSACTIONS: [payment(1), payment(0, NOON + timedelta(days=1))]}, {(TRANSACTIONS, 0): 2})
    archive = Archive(*place)
    assert offsets(place) == [0, 1]
    assert archive.days() == [MONDAY, TUESDAY]
    assert archive.transactions(TUESDAY, TUESDAY)["transaction_id"].to_pylist() == ["t-0"]
    assert archive.positions(TRANSACTIONS) == {0: 2}
    assert archive.positions(DECISIONS) == {}
    assert ArchivedLog(*place).ends() == {0: 2}
    with closing(ArchiveWriter(*place)) as writer:
        assert writer.positions() == {(TRANSACTIONS, 0): 2}
        assert writer.count(TRANSACTIONS, MONDAY) == 1
        assert writer.count(LABELS, MONDAY) == 0
        assert writer.bytes == sum(path.stat().st_size for path in place[0].rglob("*.parquet"))


def test_a_day_is_closed_once_and_its_newest_table_counts(place: Place) -> None:
    with closing(ArchiveWriter(*place)) as writer:
        writer.close_day(TUESDAY, "b")
        writer.close_day(MONDAY, "a")
        writer.close_day(TUESDAY, "c")
        assert writer.closed_days() == {MONDAY: "a", TUESDAY: "c"}
    assert list(Archive(*place).closed_days().items()) == [(MONDAY, "a"), (TUESDAY, "c")]


def test_positions_move_on_and_what_was_indexed_before_stays_as_it_was(place: Place) -> None:
    write(place, {LABELS: [label(0)]}, {(LABELS, 0): 1})
    write(place, {LABELS: [label(1)]}, {(LABELS, 0): 2})
    write(place, {TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
    write(place, {TRANSACTIONS: [payment(5) | {"transaction_id": "t-0"}]}, {(TRANSACTIONS, 0): 6})
    assert Archive(*place).positions(LABELS) == {0: 2}
    assert len(Archive(*place).labels(NOON + timedelta(days=3))) == 2
    assert len(Archive(*place).labels(NOON + timedelta(days=2))) == 0
    assert offsets(place) == [0, 5]


def test_a_write_that_fails_leaves_nothing_and_can_be_done_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
    with monkeypatch.context() as failing, closing(ArchiveWriter(*place)) as writer:
        insert = ArchiveWriter._insert

        def no_positions(self: ArchiveWriter, table: Any, *arguments: Any, **options: Any) -> None:
            if table.name == "positions":
                raise MemoryError
            insert(self, table, *arguments, **options)

        failing.setattr(ArchiveWriter, "_insert", no_positions)
        with pytest.raises(MemoryError):
            writer.write({TRANSACTIONS: [payment(1)]}, {(TRANSACTIONS, 0): 2})
    assert offsets(place) == [0]
    assert len(list(place[0].rglob("*.parquet"))) == 2
    with closing(ArchiveWriter(*place)) as again:
        assert len(list(place[0].rglob("*.parquet"))) == 1
        assert again.positions() == {(TRANSACTIONS, 0): 1}
        again.write({TRANSACTIONS: [payment(1)]}, {(TRANSACTIONS, 0): 2})
    assert offsets(place) == [0, 1]


def test_the_log_is_what_the_manifest_names_wherever_that_is(place: Place) -> None:
    write(place, {TRANSACTIONS: [payment(0)], LABELS: [label(0)]}, {(TRANSACTIONS, 0): 1})
    [named] = transaction_files(*place)
    (named.parent / "0000-000000000009.parquet").write_bytes(named.read_bytes())
    assert transaction_files(*place) == [named]
    assert open_log(*place).rows == 1


def test_the_settings_know_where_the_index_of_their_own_archive_is_and_of_no_other(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", index_url=Secret("postgresql://host/archive"))
    assert index_url_of(tmp_path / "other" / ".." / "home" / "archive", settings) == "postgresql://host/archive"
    assert index_url_of(tmp_path / "elsewhere", settings) == ""


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d e"
    write((folder, ""), {TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
    assert offsets((folder, "")) == [0]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_an_index_that_an_earlier_version_made_is_read_and_written(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as earlier:
        earlier.executescript(MADE_EARLIER)
        earlier.execute("INSERT INTO positions VALUES ('transactions', 0, 1)")
        earlier.execute("INSERT INTO closed_days VALUES ('2025-01-06', 'a')")
        earlier.commit()
    with closing(ArchiveWriter(tmp_path)) as writer:
        assert writer.positions() == {(TRANSACTIONS, 0): 1}
        assert writer.closed_days() == {MONDAY: "a"}
        writer.write({TRANSACTIONS: [payment(1)], LABELS: [label(0)]}, {(TRANSACTIONS, 0): 2})
    assert offsets((tmp_path, "")) == [1]
    assert Archive(tmp_path).positions(TRANSACTIONS) == {0: 2}


# What `adapters.archive.layout` held before there was SQLAlchemy.
MADE_EARLIER = """
CREATE TABLE positions (topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE files (path TEXT PRIMARY KEY, kind TEXT NOT NULL, day TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE closed_days (day TEXT PRIMARY KEY, table_id TEXT NOT NULL);
CREATE TABLE transactions (
    transaction_id TEXT PRIMARY KEY, card_id TEXT NOT NULL, occurred_at_ms INTEGER NOT NULL,
    partition INTEGER NOT NULL, log_offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX transactions_by_card ON transactions (card_id, occurred_at_ms);
CREATE TABLE decisions (
    transaction_id TEXT PRIMARY KEY, day TEXT NOT NULL, action TEXT NOT NULL, probability REAL,
    model_version TEXT, degraded INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE labels (
    transaction_id TEXT NOT NULL, is_fraud INTEGER NOT NULL, effective_at_ms INTEGER NOT NULL,
    observed_at_ms INTEGER NOT NULL, source TEXT NOT NULL, partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
    PRIMARY KEY (partition, log_offset)) WITHOUT ROWID;
CREATE INDEX labels_by_transaction ON labels (transaction_id);
"""


def test_a_file_that_its_writer_is_just_making_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").touch()
    with pytest.raises(ArchiveUnavailable, match="has not run there yet"):
        Archive(tmp_path).days()


def test_a_file_that_somebody_else_holds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_index, "BUSY_SECONDS", 0.05)
    with closing(ArchiveWriter(tmp_path)) as writer:
        with closing(sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(ArchiveUnavailable, match="is locked"):
                writer.write({TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
        writer.write({TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
    assert offsets((tmp_path, "")) == [0]


def test_an_archive_that_nobody_has_made_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnavailable, match="there is no archive"):
        Archive(tmp_path).days()
    assert ArchivedLog(tmp_path).ends() == {}


def test_on_a_server_too_an_archive_that_nobody_has_made_is_waited_for(postgres: Any, tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnavailable, match="has not run there yet"):
        Archive(tmp_path, postgres.new_database()).days()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="file/archive"):
        ArchiveWriter(tmp_path / "file" / "archive")


def test_a_server_that_is_killed_in_the_middle_costs_a_new_writer_and_nothing_else(
    postgres: Any, tmp_path: Path
) -> None:
    place = tmp_path / "archive", postgres.new_database()
    reader = Archive(*place)
    with closing(ArchiveWriter(*place)) as writer:
        writer.write({TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
        assert reader.positions(TRANSACTIONS) == {0: 1}
        postgres.kill()
        try:
            with pytest.raises(ArchiveUnavailable):
                writer.write({TRANSACTIONS: [payment(1)]}, {(TRANSACTIONS, 0): 2})
            with pytest.raises(ArchiveUnavailable, match=f"{postgres.port}, database test_"):
                reader.days()
            with pytest.raises(ArchiveUnavailable) as refusal:
                ArchiveWriter(*place)
            assert postgres.password not in str(refusal.value)
        finally:
            postgres.start()
    with closing(ArchiveWriter(*place)) as writer:
        assert writer.positions() == {(TRANSACTIONS, 0): 1}
        writer.write({TRANSACTIONS: [payment(1)]}, {(TRANSACTIONS, 0): 2})
    assert reader.positions(TRANSACTIONS) == {0: 2}
    assert offsets(place) == [0, 1]


def test_a_server_that_is_killed_before_the_commit_has_none_of_it(
    postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "archive", postgres.new_database()
    rows, reached = {TRANSACTIONS: [payment(0)], LABELS: [label(0)]}, {(TRANSACTIONS, 0): 1, (LABELS, 0): 1}
    insert = ArchiveWriter._insert

    def last_words(self: ArchiveWriter, table: Any, *arguments: Any, **options: Any) -> None:
        insert(self, table, *arguments, **options)
        if table.name == "positions":
            postgres.kill()

    with monkeypatch.context() as killing, closing(ArchiveWriter(*place)) as writer:
        killing.setattr(ArchiveWriter, "_insert", last_words)
        try:
            with pytest.raises(ArchiveUnavailable):
                writer.write(rows, reached)
        finally:
            postgres.start()
    assert len(list(place[0].rglob("*.parquet"))) == 2
    with closing(ArchiveWriter(*place)) as again:
        assert list(place[0].rglob("*.parquet")) == []
        assert again.positions() == {}
        again.write(rows, reached)
    assert offsets(place) == [0]
    assert len(Archive(*place).all_labels()) == 1


def test_a_writer_whose_connection_was_lost_does_not_go_on_without_its_lock(postgres: Any, tmp_path: Path) -> None:
    place = tmp_path / "archive", postgres.new_database()
    with closing(ArchiveWriter(*place)) as writer:
        with psycopg.connect(place[1], autocommit=True) as another:
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            another.execute(f"{ended} AND pid <> pg_backend_pid()")
        for _ in range(2):
            with pytest.raises(ArchiveUnavailable):
                writer.write({TRANSACTIONS: [payment(0)]}, {(TRANSACTIONS, 0): 1})
        with closing(ArchiveWriter(*place)) as again:
            assert again.positions() == {}


def test_of_two_writers_on_one_server_the_second_waits_for_the_end_of_the_first(postgres: Any, tmp_path: Path) -> None:
    place = tmp_path / "archive", postgres.new_database()
    with closing(ArchiveWriter(*place)), pytest.raises(ArchiveUnavailable, match="another writer uses"):
        ArchiveWriter(*place)
    ArchiveWriter(*place).close()


@pytest.mark.parametrize(
    "wrong", [lambda url: url.replace("opensesame", "guessed"), lambda url: url + "_nowhere"], ids=["password", "name"]
)
def test_what_waiting_does_not_mend_is_said_at_once_and_without_the_password(
    postgres: Any, tmp_path: Path, wrong: Callable[[str], str]
) -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_INDEX_URL") as refusal:
        ArchiveWriter(tmp_path / "archive", wrong(postgres.new_database()))
    shown = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value)
    assert "guessed" not in shown
    assert "opensesame" not in shown


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:open@sesame@host:5432/archive",
        "postgresql://me:open@sesame",
        "postgresql://me:open@sesame?x@host/archive",
        "postgresql://m/e:opensesame@host/archive",
        "postgresql://me:opensesame@host:sesame/archive",
        "postgresql://me:opensesame@host",
    ],
)
def test_what_is_no_address_is_said_without_showing_it(tmp_path: Path, address: str) -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_INDEX_URL") as refusal:
        Archive(tmp_path, address)
    assert "sesame" not in str(refusal.value)
    assert refusal.value.__cause__ is refusal.value.__context__ is None
