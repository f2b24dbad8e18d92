"""A reference table that is not to be relied on: the rules decide those transactions, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import ScoringUnavailable
from cardwatch.events import EPOCH, Action, Channel, Decision, Transaction, encode
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores
from cardwatch.records import Record
from cardwatch.topics import TRANSACTIONS
from services.stream.batch import Batch, fold_batch
from services.stream.decision_engine import DecisionEngine

FIRST = date(2025, 1, 1)


class Challenger:
    """A scorer that is sure of half a fraud, and remembers how many rows it was asked about."""

    def __init__(self, *, available: bool = True) -> None:
        self.available = available
        self.asked: list[int] = []

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        self.asked.append(len(rows))
        if not self.available:
            raise ScoringUnavailable("no answer within 1 s")
        return Scores(
            model_version="7",
            model_digest="digest",
            margins=np.zeros(len(rows), np.float32),
            probabilities=np.full(len(rows), 0.5),
            reasons=[["AMOUNT"]] * len(rows),
        )


def payment(number: int, day: int) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id="card",
        merchant_id="m",
        occurred_at=datetime(2025, 1, 1, 12, tzinfo=EPOCH.tzinfo) + timedelta(days=day),
        amount_minor=50_000,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def table_of(day: date) -> ReferenceTable:
    return ReferenceTable.empty((day - EPOCH.date()).days)


def folded(folder: Path, transactions: Sequence[Transaction]) -> Batch:
    records = [Record(TRANSACTIONS, 0, n, 0, t.card_id.encode(), encode(t)) for n, t in enumerate(transactions)]
    with LmdbStore(folder / "store") as store:
        return fold_batch(store, ReferenceTableStore(folder / "tables"), UNCHECKED, 0, 0, records)


def decided(batch: Batch, scorer: Challenger) -> list[Decision]:
    return DecisionEngine(scorer, DecisionPolicy(), lambda: 0.0).decide([batch]).decisions


def test_transactions_of_a_stale_table_are_decided_by_the_rules_and_the_others_of_the_batch_are_scored(
    tmp_path: Path,
) -> None:
    ReferenceTableStore(tmp_path / "tables").put(table_of(FIRST))
    scorer = Challenger()
    batch = folded(tmp_path, [payment(0, 0), payment(1, 45), payment(2, 29)])
    fresh, stale, late = decided(batch, scorer)
    assert scorer.asked == [2]
    assert (stale.degraded, stale.degraded_reason) == (True, "the reference table of 2025-01-01 is 45 days old")
    assert (stale.model_version, stale.model_digest, stale.margin, stale.probability) == (None, None, None, None)
    for scored in (fresh, late):
        assert (scored.degraded, scored.degraded_reason, scored.model_version) == (False, None, "7")
        assert (scored.action, scored.probability, scored.reasons) == (Action.DECLINE, 0.5, ["AMOUNT"])
    assert [decision.offset for decision in (fresh, stale, late)] == [0, 1, 2]
    assert {decision.table_id for decision in (fresh, stale, late)} == {table_of(FIRST).table_id}


def test_if_all_tables_are_stale_the_scorer_is_not_queried(tmp_path: Path) -> None:
    ReferenceTableStore(tmp_path / "tables").put(table_of(FIRST))
    scorer = Challenger()
    assert [decision.degraded for decision in decided(folded(tmp_path, [payment(0, 30)]), scorer)] == [True]
    assert scorer.asked == []


def test_each_decision_records_its_own_degraded_reason(tmp_path: Path) -> None:
    ReferenceTableStore(tmp_path / "tables").put(table_of(FIRST))
    batch = folded(tmp_path, [payment(0, 0), payment(1, 45)])
    reasons = [decision.degraded_reason for decision in decided(batch, Challenger(available=False))]
    assert reasons == ["no answer within 1 s", "the reference table of 2025-01-01 is 45 days old"]


def test_card_states_are_the_same_with_a_fresh_a_stale_a_damaged_table_and_without_one(tmp_path: Path) -> None:
    transactions = [payment(number, 50) for number in range(3)]
    states, reasons = [], []
    for case, day in (("fresh", 49), ("stale", 0), ("damaged", 49), ("none", None)):
        folder = tmp_path / case
        if day is not None:
            ReferenceTableStore(folder / "tables").put(table_of(FIRST + timedelta(days=day)))
        if case == "damaged":
            [path] = (folder / "tables").iterdir()
            path.write_bytes(b"half")
        batch = folded(folder, transactions)
        states.append(batch.states.tobytes())
        reasons.append({choice.degraded_reason for choice in batch.folded.tables})
    assert len(set(states)) == 1
    assert reasons[0] == reasons[3] == {None}
    assert reasons[1] == {"the reference table of 2025-01-01 is 50 days old"}
    [[damage]] = reasons[2:3]
    assert damage is not None
    assert "2025-02-19" in damage


def test_a_damaged_table_is_not_used_and_the_rules_decide(tmp_path: Path) -> None:
    ReferenceTableStore(tmp_path / "tables").put(table_of(FIRST))
    [path] = (tmp_path / "tables").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    [decision] = decided(folded(tmp_path, [payment(0, 0)]), Challenger())
    assert decision.degraded
    assert decision.degraded_reason is not None
    assert path.name in decision.degraded_reason
    assert decision.table_id == ReferenceTable.empty().table_id


@pytest.mark.parametrize("hours", [-11, 0, 14])
def test_the_table_is_that_of_the_day_in_utc_whatever_offset_the_source_writes(tmp_path: Path, hours: int) -> None:
    tables = ReferenceTableStore(tmp_path / "tables")
    for day in (-1, 0, 1):
        tables.put(table_of(FIRST + timedelta(days=day)))
    local = payment(0, 0).occurred_at.astimezone(timezone(timedelta(hours=hours)))
    transaction = Transaction(
        **{name: getattr(payment(0, 0), name) for name in Transaction.__struct_fields__ if name != "occurred_at"},
        occurred_at=local,
    )
    [choice] = folded(tmp_path, [transaction]).folded.tables
    assert choice.table.valid_from.date() == FIRST
