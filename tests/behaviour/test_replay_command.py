"""Replay of an archive, as a function and as a command: output and errors."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.archive.feature_rows import feature_matrix
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, decision_row, transaction_row
from adapters.runtime.settings import child_environment, read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.events import Action, Channel, Decision, Transaction
from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.reference_table import MERCHANT_VALUES, ReferenceTable
from cardwatch.topics import DECISIONS, TRANSACTIONS
from pipelines.replay import ReplayRequest, replay

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
FIRST_DAY = (NOON.date() - date(1970, 1, 1)).days


def table(day: int, risk: float) -> ReferenceTable:
    values = np.full((1, len(MERCHANT_VALUES)), risk, np.float32)
    return ReferenceTable.of_merchants(FIRST_DAY + day, identity_hashes(["shop"]), values)


FIRST, SECOND = table(0, 2.0), table(2, 3.0)


def transaction(day: int, card: str) -> Transaction:
    return Transaction(
        transaction_id=f"{card}-{day}",
        card_id=card,
        merchant_id="shop",
        occurred_at=NOON + timedelta(days=day),
        amount_minor=1_000,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def decision(of: Transaction, partition: int, offset: int, used: ReferenceTable) -> Decision:
    return Decision(
        transaction=of,
        partition=partition,
        offset=offset,
        sequence=0,
        features=[],
        feature_schema="",
        table_id=used.table_id,
        policy_version="",
        action=Action.APPROVE,
        reasons=[],
        decided_at=of.occurred_at,
        latency_ms=1.0,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two cards in partitions 0 and 2, a transaction a day for four days, read alternately; two flushes.

    Card a's transaction of day 2 was decided while the worker still held the first table.
    """
    settings = read_settings({}, home=tmp_path / "home")
    rows = [
        transaction_row(transaction(day, card), partition, 3 * day)
        for day in range(4)
        for card, partition in (("a", 0), ("b", 2))
    ]
    writer = ArchiveWriter(settings.archive)
    writer.write({TRANSACTIONS: rows[:5]}, {(TRANSACTIONS, 0): 7, (TRANSACTIONS, 2): 4})
    stale = decision_row(decision(transaction(2, "a"), 0, 6, FIRST)) | {"features": [0.0] * len(FEATURES)}
    writer.write({TRANSACTIONS: rows[5:], DECISIONS: [stale]}, {(TRANSACTIONS, 0): 10, (TRANSACTIONS, 2): 10})
    writer.close()
    for each in (FIRST, SECOND):
        ReferenceTableStore(settings.tables).put(each)
    return settings.home


def asked(home: Path, **more: object) -> ReplayRequest:
    request = {"transactions": home / "archive", "tables": home / "tables", "out": home / "out", **more}
    return ReplayRequest(**request)  # type: ignore[arg-type]


def risks(path: Path) -> list[float]:
    values: list[float] = feature_matrix(pq.read_table(path))[:, column("merchant_risk_30d")].tolist()
    return values


def test_each_partition_is_a_file_in_log_order_with_the_table_that_was_used(home: Path) -> None:
    assert replay(asked(home)) == 8
    a, b = home / "out" / "partition-0000.parquet", home / "out" / "partition-0002.parquet"
    assert pq.read_table(a)["transaction_id"].to_pylist() == ["a-0", "a-1", "a-2", "a-3"]
    assert pq.read_table(b)["sequence"].to_pylist() == [0, 1, 2, 3]
    assert risks(a) == [2.0, 2.0, 2.0, 3.0]  # day 2 by its decision
    assert risks(b) == [2.0, 2.0, 3.0, 3.0]  # by the rule


def test_only_the_requested_days_are_written_and_use_all_earlier_history(home: Path) -> None:
    assert replay(asked(home, first_day=date(2025, 1, 2), last_day=date(2025, 1, 3))) == 4
    rows = pq.read_table(home / "out" / "partition-0000.parquet")
    assert rows["transaction_id"].to_pylist() == ["a-1", "a-2"]
    assert rows["sequence"].to_pylist() == [1, 2]


def test_a_folder_that_is_not_empty_is_not_changed(home: Path) -> None:
    (home / "out").mkdir()
    (home / "out" / "mine").write_text("precious")
    with pytest.raises(Misconfigured, match="out exists and is not empty"):
        replay(asked(home))
    assert [path.name for path in (home / "out").iterdir()] == ["mine"]


def test_a_log_with_a_missing_file_writes_nothing(home: Path) -> None:
    next((home / "archive" / "transactions").rglob("*.parquet")).unlink()
    with pytest.raises(CardwatchError, match="cannot be read"):
        replay(asked(home))
    assert not [path.name for path in home.iterdir() if "out" in path.name]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_file_is_named_and_nothing_is_written(home: Path, jobs: int) -> None:
    damaged = min((home / "archive" / "transactions").rglob("*.parquet"))
    data = bytearray(damaged.read_bytes())
    data[4:200] = bytes(196)
    damaged.write_bytes(data)
    with pytest.raises(CardwatchError, match=f"{damaged.name} cannot be read"):
        replay(asked(home, jobs=jobs))
    assert not [path.name for path in home.iterdir() if "out" in path.name]


def test_a_folder_without_transactions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there are no transactions in"):
        replay(asked(tmp_path))


def test_the_command_replays_the_archive_of_its_home_and_reports_errors_in_one_line(home: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", "replay", "--out", str(home / "out"), *arguments],
            env=child_environment(read_settings({}, home=home)),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    done = command("--from", "2025-01-04", "--jobs", "2")
    assert (done.returncode, done.stdout) == (0, f"2 feature rows in {home / 'out'}\n"), done.stderr
    again = command()
    assert again.returncode == 2
    assert again.stderr.startswith("cardwatch: ")
    assert "Traceback" not in again.stderr
