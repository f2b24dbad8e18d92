"""The backfill on a real Spark in local mode: the bits of stream, preview and replay. Run by `make test-spark`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.archive.feature_rows import KEY_COLUMNS, feature_matrix
from adapters.archive.layout import SCHEMAS
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.runtime.settings import child_environment, read_settings
from benchmarks.histories import write_history
from cardwatch.events import EPOCH, AuthorizationOutcome, Channel, Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import MERCHANT_VALUES, ReferenceTable
from cardwatch.features.replay import ReferenceTables
from cardwatch.features.state import empty_states
from cardwatch.topics import DECISIONS, TRANSACTIONS
from pipelines.replay import ReplayRequest, replay

pytestmark = pytest.mark.spark

FIRST_DAY = 20_089
PLACE = [("partition", "ascending"), ("log_offset", "ascending")]


def write_tables(folder: Path) -> list[ReferenceTable]:
    """A table for every second day, with values that no other table has."""
    hashes = np.sort(identity_hashes([f"merchant-{number:012d}" for number in range(40)]))
    tables = [
        ReferenceTable.of_merchants(FIRST_DAY + day, hashes, np.full((40, len(MERCHANT_VALUES)), day + 0.5, np.float32))
        for day in (1, 3, 5)
    ]
    for table in tables:
        ReferenceTableStore(folder).put(table)
    return tables


def write_late_shuffled_log_with_repeats(folder: Path) -> None:
    """A tenth is late by up to a day, and every 50th transaction repeats the id of the one 20 before it."""
    write_history(folder, rows=6_000, cards=30, partitions=3, days=6, merchants=40, late_share=0.1)
    for path in folder.rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        offsets = rows["log_offset"].to_numpy()
        repeated = np.where(offsets % 50 == 0, np.maximum(offsets - 20, 0), offsets)
        ids = [f"tx-{p}-{o}" for p, o in zip(rows["partition"].to_pylist(), repeated.tolist(), strict=True)]
        pq.write_table(rows.set_column(0, "transaction_id", pa.array(ids)), path)


def computed_one_by_one(folder: Path, tables: list[ReferenceTable]) -> pa.Table:
    """Return the features of every transaction as bytes, computed one transaction at a time in log order."""
    rows = pq.read_table(folder, partitioning=None).sort_by(PLACE)
    reference_tables = ReferenceTables(tables)
    cards, index = card_index(rows["card_id"].to_pylist())
    states = empty_states(len(cards))
    features = []
    for row, card in zip(rows.to_pylist(), index, strict=True):
        del row["partition"], row["log_offset"]
        outcome = row.pop("previous_outcome")
        transaction = Transaction(
            **{**row, "channel": Channel(row["channel"]), "previous_outcome": outcome and AuthorizationOutcome(outcome)}
        )
        at_ms = np.array([(transaction.occurred_at - EPOCH).total_seconds() * 1000]).astype(np.int64)
        table = reference_tables.tables[int(reference_tables.valid_at(at_ms)[0])]
        folded = fold(states[card : card + 1], np.zeros(1, np.int64), encode([transaction]), table)
        features.append(folded.features.tobytes())
    return rows.select(["partition", "log_offset"]).append_column("features", pa.array(features))


def backfill(tmp_path: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "cli.main", "backfill", "--master", "local[2]"),
            *("--transactions", str(tmp_path / "log"), "--tables", str(tmp_path / "tables"), "--out", str(out)),
        ],
        env=child_environment(read_settings({}, home=tmp_path / "home")),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_spark_gives_the_same_bits_as_the_replay_and_as_single_transactions(tmp_path: Path) -> None:
    write_late_shuffled_log_with_repeats(tmp_path / "log")
    tables = write_tables(tmp_path / "tables")
    done = backfill(tmp_path, tmp_path / "spark")
    assert done.returncode == 0, done.stderr
    replay(
        ReplayRequest(
            transactions=tmp_path / "log", tables=tmp_path / "tables", out=tmp_path / "replay", jobs=1, batch_rows=700
        )
    )

    by_spark = pq.read_table(tmp_path / "spark").sort_by(PLACE)
    by_replay = pq.read_table(tmp_path / "replay").sort_by(PLACE)
    asked = computed_one_by_one(tmp_path / "log", tables)

    assert by_spark.num_rows == by_replay.num_rows == asked.num_rows == 6_000
    assert feature_matrix(by_spark).tobytes() == feature_matrix(by_replay).tobytes()
    assert feature_matrix(by_replay).tobytes() == b"".join(asked["features"].to_pylist())
    for name in (*KEY_COLUMNS, "sequence", "is_duplicate"):
        assert by_spark[name].to_pylist() == by_replay[name].to_pylist(), name
    assert any(by_replay["is_duplicate"].to_pylist()), "no repeat was seen: the test proves nothing"

    again = backfill(tmp_path, tmp_path / "spark")
    assert again.returncode == 2
    assert "exists; name another folder" in again.stderr


def test_spark_uses_the_table_that_a_decision_in_the_archive_recorded(tmp_path: Path) -> None:
    tables = write_tables(tmp_path / "tables")
    write_history(tmp_path / "files", rows=60, cards=4, partitions=2, days=6, merchants=40)
    rows = pq.read_table(tmp_path / "files", partitioning=None).sort_by(PLACE).to_pylist()
    stale = [  # every third was decided with the oldest table, whatever the rule says
        {name: row.get(name) for name in SCHEMAS[DECISIONS].names}
        | {"features": [0.0] * len(FEATURES), "table_id": tables[0].table_id, "action": "approve", "degraded": False}
        for row in rows[::3]
    ]
    writer = ArchiveWriter(tmp_path / "log")
    writer.write({TRANSACTIONS: rows, DECISIONS: stale}, {})
    writer.close()

    done = backfill(tmp_path, tmp_path / "spark")
    assert done.returncode == 0, done.stderr
    replay(ReplayRequest(transactions=tmp_path / "log", tables=tmp_path / "tables", out=tmp_path / "replay"))

    by_spark = pq.read_table(tmp_path / "spark").sort_by(PLACE)
    by_replay = pq.read_table(tmp_path / "replay").sort_by(PLACE)
    assert feature_matrix(by_spark).tobytes() == feature_matrix(by_replay).tobytes()
    risks = feature_matrix(by_spark)[:, column("merchant_risk_30d")]
    assert (risks[::3] == 1.5).all()
    assert {3.5, 5.5} <= set(risks.tolist())
