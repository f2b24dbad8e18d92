"""What `ArchivedTables` promises, held by the archive in files and by that of a stress test in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adapters.archive.feature_rows import feature_matrix
from adapters.archive.layout import SCHEMAS
from adapters.archive.reader import Archive
from adapters.archive.tables import ArchivedTables
from adapters.archive.writer import ArchiveWriter, decision_row, label_row, transaction_row
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide import decide
from cardwatch.decision.folding import FoldedTransactions, concatenate_without_repeats
from cardwatch.decision.records import decisions_of_record
from cardwatch.events import Decision, Label, Transaction, decode, encode
from cardwatch.features.reference_choice import TableChoice
from cardwatch.label_maturity import end_of_day
from cardwatch.records import Record
from cardwatch.simulation.faults import DuplicatedRecords
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from models.training import TrainingSettings, fit_detector
from stress.memory_archive import DayDecisions, MemoryArchive
from stress.simulated_features import SimulatedFeatures
from stress.world import ServedModel

REPEATS = DuplicatedRecords(name="repeats", from_day=0, is_harmful=True, share=0.1)
SETTINGS = SimulationSettings(seed=5, cards=200, fraud_share=0.03, timeline=(REPEATS,))
DAYS = 6
DECIDED_FROM = 4
FIRST = SETTINGS.first_day


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


class _Recorded:
    """The same days in both archives: two of them are decided, and a tenth of the records is repeated."""

    def __init__(self, folder: Path) -> None:
        self.memory, self.files = MemoryArchive(), Archive(folder)
        features = SimulatedFeatures(SETTINGS, 5)
        ends = {TRANSACTIONS: 0, LABELS: 0}
        rows, frauds = [], []
        with closing(ArchiveWriter(folder)) as writer:
            for number in range(DAYS):
                begun = features.begin_day()
                rows.append(begun.folded.features)
                frauds.append(begun.truth["typology"] != 0)
                decided = None
                if number >= DECIDED_FROM:
                    model = _model(np.concatenate(rows), np.concatenate(frauds))
                    choices = [TableChoice(begun.table, None)] * len(begun.transactions)
                    folded = concatenate_without_repeats(
                        [FoldedTransactions(begun.transactions, choices, begun.folded)]
                    )
                    decided = DayDecisions(
                        folded=folded,
                        outcomes=decide(DecisionPolicy(), folded, model.score),
                        log_places=np.flatnonzero(~begun.folded.duplicates),
                        table_id=begun.table.table_id,
                        policy_version="policy-1",
                    )
                labels = features.end_day(begun)
                self.memory.add_day(begun.day, begun.transactions, decided)
                self.memory.add_labels(labels)
                self.memory.close_day(begun.day, features.table_id)
                _write(writer, begun.transactions, labels, decided, ends)
                writer.close_day(begun.day, features.table_id)


def _model(features: Any, is_fraud: Any) -> ServedModel:
    fitted = fit_detector(
        features,
        is_fraud,
        calibration_features=features,
        calibration_is_fraud=is_fraud,
        settings=TrainingSettings(trees=5),
    )
    return ServedModel(version="1", digest="d", detector=fitted.detector)


def _write(
    writer: ArchiveWriter,
    transactions: list[Transaction],
    labels: list[Label],
    decided: DayDecisions | None,
    ends: dict[str, int],
) -> None:
    start = ends[TRANSACTIONS]
    rows = {
        TRANSACTIONS: [transaction_row(each, 0, start + at) for at, each in enumerate(transactions)],
        LABELS: [label_row(each, 0, ends[LABELS] + at) for at, each in enumerate(labels)],
    }
    if decided is not None:
        records = [Record(TRANSACTIONS, 0, start + at, 0, b"", b"") for at in decided.log_places.tolist()]
        encoded = decisions_of_record(
            decided.folded, records, decided.outcomes, policy_version=decided.policy_version, now_ms=1e12
        )
        rows[DECISIONS] = [decision_row(decode(encode(each), Decision)) for each in encoded]
    ends[TRANSACTIONS] += len(transactions)
    ends[LABELS] += len(labels)
    writer.write(rows, {(TRANSACTIONS, 0): ends[TRANSACTIONS], (LABELS, 0): ends[LABELS]})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Recorded]:
    yield _Recorded(tmp_path_factory.mktemp("archived") / "archive")


READS: dict[str, Callable[[ArchivedTables], pa.Table]] = {
    "transactions of some days": lambda archive: archive.transactions(day(1), day(3)),
    "transactions of no day": lambda archive: archive.transactions(day(90), day(91)),
    "some columns": lambda archive: archive.transaction_columns(day(0), day(DAYS), ["merchant_id", "amount_minor"]),
    "labels of the first days": lambda archive: archive.labels(end_of_day(day(3))),
    "all labels": lambda archive: archive.labels(datetime.max.replace(tzinfo=end_of_day(day(0)).tzinfo)),
    "decisions before the first one": lambda archive: archive.decisions(day(0), day(DECIDED_FROM - 1)),
}


@pytest.mark.parametrize("name", READS)
def test_both_archives_give_the_same_table(recorded: _Recorded, name: str) -> None:
    in_memory, in_files = READS[name](recorded.memory), READS[name](recorded.files)
    assert in_memory.schema.equals(in_files.schema)
    assert in_memory.combine_chunks().equals(in_files.combine_chunks())


def test_both_archives_give_the_same_decisions(recorded: _Recorded) -> None:
    both = [archive.decisions(day(0), day(DAYS)) for archive in (recorded.memory, recorded.files)]
    assert both[0].num_rows > 500
    assert both[0].num_rows < recorded.memory.transactions(day(DECIDED_FROM), day(DAYS)).num_rows  # repeats
    # The stress test has no clock for the time of a decision, and keeps missing values as NaN where files have nulls.
    same = [name for name in SCHEMAS[DECISIONS].names if name not in {"decided_at", "latency_ms", "features"}]
    assert both[0].select(same).combine_chunks().equals(both[1].select(same).combine_chunks())
    np.testing.assert_array_equal(*map(feature_matrix, both))
    assert {"approve"} < set(both[0]["action"].to_pylist())


def test_both_archives_give_the_same_columns_of_decisions(recorded: _Recorded) -> None:
    columns = ["transaction_id", "margin", "reasons"]
    both = [archive.decision_columns(day(0), day(DAYS), columns) for archive in (recorded.memory, recorded.files)]
    assert both[0].column_names == ["partition", "log_offset", *columns]
    assert both[0].combine_chunks().equals(both[1].combine_chunks())


def test_both_archives_give_the_same_actions(recorded: _Recorded) -> None:
    assert recorded.memory.actions().combine_chunks().equals(recorded.files.actions().combine_chunks())


def test_both_archives_know_the_closed_days_and_their_tables(recorded: _Recorded) -> None:
    assert recorded.memory.closed_days() == recorded.files.closed_days()
    assert list(recorded.memory.closed_days()) == [day(number) for number in range(DAYS)]


def test_a_branch_of_an_archive_goes_its_own_way(recorded: _Recorded) -> None:
    before = recorded.memory.transactions(day(0), day(DAYS)).num_rows
    branch = recorded.memory.branch()
    branch.close_day(day(DAYS + 1), "t")
    branch.add_labels([])
    assert day(DAYS + 1) not in recorded.memory.closed_days()
    assert branch.transactions(day(0), day(DAYS)).num_rows == before
