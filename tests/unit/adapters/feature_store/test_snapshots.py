"""Snapshots and the command `store`: a file that is whole, checked before it is used, and the log behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import redis
from click.testing import CliRunner

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.writer import ArchiveWriter, Row, transaction_row
from adapters.feature_store.lmdb import LmdbStore
from adapters.feature_store.snapshots import read_snapshot, restore_snapshot, write_snapshot
from cardwatch.errors import Misconfigured, StoreRefused
from cardwatch.events import EPOCH, Channel, Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import fold
from cardwatch.features.log_segment import fold_segment
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import STATE, empty_states
from cardwatch.ports import StateArray, StoreContents
from cardwatch.records import LogSegment
from cardwatch.topics import DECISIONS, TRANSACTIONS
from cli.main import main

CARDS = 4_500  # more than go at once


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[LmdbStore]:
    with LmdbStore(tmp_path / "filled") as store:
        store.apply(1, expected=0, position=77, card_ids=names(), states=states())
        yield store


def names() -> list[str]:
    return [f'card "{number}", é' for number in range(CARDS)]


def states() -> StateArray:
    return np.frombuffer(bytearray(np.random.default_rng(1).bytes(STATE.itemsize * 50)) * (CARDS // 50), STATE)


def test_what_was_written_is_restored_to_the_byte(filled: LmdbStore, tmp_path: Path) -> None:
    about = write_snapshot(filled, tmp_path / "deep" / "snapshot")
    assert (about.cards, about.applied) == (CARDS, {1: 77})
    assert read_snapshot(tmp_path / "deep" / "snapshot") == about
    with LmdbStore(tmp_path / "restored") as restored:
        restore_snapshot(tmp_path / "deep" / "snapshot", restored)
        assert restored.cards() == filled.cards()
        assert restored.applied(1) == 77


def test_the_same_contents_have_the_same_digest_in_whatever_batches_they_come(
    filled: LmdbStore, tmp_path: Path
) -> None:
    one = write_snapshot(filled, tmp_path / "one")
    with LmdbStore(tmp_path / "restored") as restored:
        restore_snapshot(tmp_path / "one", restored)
        assert write_snapshot(restored, tmp_path / "other") == one


def test_an_lmdb_snapshot_is_of_one_moment_whatever_is_written_meanwhile(filled: LmdbStore, tmp_path: Path) -> None:
    with filled.contents() as contents:
        filled.apply(1, expected=77, position=78, card_ids=["new"], states=empty_states(1))
        with LmdbStore(tmp_path / "restored") as restored:
            restored.fill(StoreContents(contents.applied, contents.cards))
            assert restored.applied(1) == 77
            assert len(restored.cards()) == CARDS


def test_an_empty_store_has_a_snapshot_too(tmp_path: Path) -> None:
    with LmdbStore(tmp_path / "empty") as store, LmdbStore(tmp_path / "other") as other:
        write_snapshot(store, tmp_path / "snapshot")
        assert restore_snapshot(tmp_path / "snapshot", other).cards == 0


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.995, 0.999, 0.9999])
def test_no_damage_gets_into_a_store(filled: LmdbStore, tmp_path: Path, place: float) -> None:
    file = tmp_path / "snapshot"
    about = write_snapshot(filled, file)
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 0x10
    file.write_bytes(content)
    with LmdbStore(tmp_path / "restored") as restored:
        try:
            assert restore_snapshot(file, restored) == about  # the bit had no meaning
            assert restored.cards() == filled.cards()
        except StoreRefused as refusal:
            assert str(file) in str(refusal)
            assert restored.cards() == {}


def test_a_changed_state_is_damage(filled: LmdbStore, tmp_path: Path) -> None:
    file = tmp_path / "snapshot"
    write_snapshot(filled, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)
    with pytest.raises(StoreRefused, match="snapshot is damaged"):
        read_snapshot(file)


def test_metadata_that_were_changed_by_hand_are_refused(filled: LmdbStore, tmp_path: Path) -> None:
    write_snapshot(filled, tmp_path / "snapshot")
    table = pq.read_table(tmp_path / "snapshot")
    metadata = pq.read_metadata(tmp_path / "snapshot").metadata
    changed = metadata[b"cardwatch.snapshot"].replace(b'"1":77', b'"1":78')
    assert changed != metadata[b"cardwatch.snapshot"]
    pq.write_table(table.replace_schema_metadata({b"cardwatch.snapshot": changed}), tmp_path / "snapshot")
    with pytest.raises(StoreRefused, match="does not have the recorded digest"):
        read_snapshot(tmp_path / "snapshot")


def test_a_file_that_ends_too_early_or_is_something_else_is_refused(filled: LmdbStore, tmp_path: Path) -> None:
    file = tmp_path / "snapshot"
    write_snapshot(filled, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StoreRefused, match="is damaged, or not a snapshot"):
        read_snapshot(file)
    pq.write_table(pq.read_table(write(tmp_path / "again", filled)).select(["card_id"]), file)
    with pytest.raises(StoreRefused, match="is not a snapshot of a feature store"):
        read_snapshot(file)
    with pytest.raises(Misconfigured, match="there is no snapshot"):
        read_snapshot(tmp_path / "nowhere")


def write(path: Path, store: LmdbStore) -> Path:
    write_snapshot(store, path)
    return path


def test_a_snapshot_of_another_layout_is_refused_and_says_both(filled: LmdbStore, tmp_path: Path) -> None:
    write_snapshot(filled, tmp_path / "snapshot", layout="of-last-year")
    with pytest.raises(StoreRefused, match=r"of layout of-last-year, this version reads and writes \w{32}: rebuild"):
        read_snapshot(tmp_path / "snapshot")


def test_a_snapshot_that_fails_leaves_the_old_one(filled: LmdbStore, tmp_path: Path) -> None:
    write_snapshot(filled, tmp_path / "kept" / "snapshot")
    before = (tmp_path / "kept" / "snapshot").read_bytes()

    class Failing(LmdbStore):
        def _cards(self, _transaction: object) -> Iterator[tuple[list[str], StateArray]]:
            yield ["a"], empty_states(1)
            raise StoreRefused("was written meanwhile")

    with Failing(tmp_path / "other") as other, pytest.raises(StoreRefused, match="meanwhile"):
        write_snapshot(other, tmp_path / "kept" / "snapshot")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "kept").iterdir()] == [("snapshot", before)]


def payment(number: int) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id=f"card-{number % 7}",
        merchant_id="m",
        occurred_at=EPOCH + timedelta(days=20_000, hours=5 * number % 97),  # many are late, over several days
        amount_minor=1_000 + number,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def archive(folder: Path, transactions: int, decided: int) -> list[Transaction]:
    """Partition 2 holds these transactions at even offsets, in three goes, and the first `decided` have a decision."""
    log = [payment(number) for number in range(transactions)]
    rows = [transaction_row(transaction, 2, 2 * place) for place, transaction in enumerate(log)]
    writer = ArchiveWriter(folder)
    for start in range(0, transactions, 40):
        writer.write({TRANSACTIONS: rows[start : start + 40]}, {(TRANSACTIONS, 2): 2 * min(start + 40, transactions)})
    writer.write({DECISIONS: [decision_row_of(row) for row in rows[:decided]]}, {(DECISIONS, 2): decided})
    writer.close()
    return log


def decision_row_of(row: Row) -> Row:
    keys = ("transaction_id", "occurred_at", "partition", "log_offset")
    return {
        **{key: row[key] for key in keys},
        "action": "approve",
        "probability": None,
        "model_version": None,
        "degraded": True,
    }


def folded(log: list[Transaction]) -> dict[str, bytes]:
    cards, index = card_index([transaction.card_id for transaction in log])
    result = empty_states(len(cards))
    fold(result, index, encode(log), ReferenceTable.empty())
    return {card: state.tobytes() for card, state in zip(cards, result, strict=True)}


@pytest.mark.parametrize("batch_rows", [3, 1_000])
@pytest.mark.parametrize(("start", "stop"), [(0, 200), (0, 117), (31, 118), (5, 5)])
def test_the_archive_is_read_as_the_log_that_it_is(tmp_path: Path, batch_rows: int, start: int, stop: int) -> None:
    log = archive(tmp_path, 100, decided=0)
    parts = list(ArchivedLog(tmp_path, batch_rows=batch_rows).parts(2, start, stop))
    expected = [place for place in range(0, 200, 2) if start <= place < stop]
    assert [offset for part in parts for offset in part.offsets.tolist()] == expected
    assert [part.cards[card] for part in parts for card in part.card_index] == [log[o // 2].card_id for o in expected]
    assert b"".join(part.rows.tobytes() for part in parts) == encode([log[o // 2] for o in expected]).tobytes()
    assert not parts or parts[-1].position == stop
    assert ArchivedLog(tmp_path).ends() == {2: 200}


def test_without_an_archive_nothing_is_held(tmp_path: Path) -> None:
    assert ArchivedLog(tmp_path / "nowhere").ends() == {}


def test_the_command_rebuilds_what_was_decided_and_moves_it_to_another_store(tmp_path: Path, redis_url: str) -> None:
    log = archive(tmp_path / "archive", 100, decided=90)
    home = {"CARDWATCH_HOME": str(tmp_path)}
    runner = CliRunner()
    rebuilt = runner.invoke(main, ["store", "rebuild"], env=home, catch_exceptions=False)
    assert rebuilt.output == "partition 2: applied up to 179\n"
    with LmdbStore(tmp_path / "store") as store:
        assert store.cards() == folded(log[:90])
        fold_segment(store, 2, 179, tail(log))
        assert store.cards() == folded(log)
    taken = runner.invoke(main, ["store", "snapshot", str(tmp_path / "file")], env=home, catch_exceptions=False)
    assert taken.output.endswith("file has 7 cards; applied offsets by partition: 2: 200\n")
    refused = runner.invoke(main, ["store", "restore", str(tmp_path / "file")], env=home)
    assert refused.exit_code == 1
    assert "is not empty: a snapshot is only restored into an empty store" in refused.output
    with redis.Redis.from_url(f"{redis_url}/14") as server:
        server.flushdb()
    elsewhere = {**home, "CARDWATCH_STORE_URL": f"{redis_url}/14"}
    moved = runner.invoke(main, ["store", "restore", str(tmp_path / "file")], env=elsewhere, catch_exceptions=False)
    assert moved.output == "the store has 7 cards; applied offsets by partition: 2: 200\n"


def test_a_rebuild_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    log = archive(tmp_path / "archive", 100, decided=100)
    with LmdbStore(tmp_path / "store") as store:
        [first, *_] = ArchivedLog(tmp_path / "archive", batch_rows=7).parts(2, 0, 199)
        fold_segment(store, 2, 0, first)
        assert 0 < store.applied(2) < 100
    CliRunner().invoke(main, ["store", "rebuild"], env={"CARDWATCH_HOME": str(tmp_path)}, catch_exceptions=False)
    with LmdbStore(tmp_path / "store") as store:
        assert store.cards() == folded(log)
        assert store.applied(2) == 199


def tail(log: list[Transaction]) -> LogSegment:
    cards, index = card_index([transaction.card_id for transaction in log[90:]])
    return LogSegment(200, cards, index, np.arange(180, 200, 2), encode(log[90:]))
