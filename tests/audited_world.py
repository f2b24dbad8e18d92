"""A small archive whose decisions were made by the decision path with trained models, for audits of it.

Six days of history, then seven days that are decided: with two models, the second of them first in shadow, then a day
as canary, then champion, with an outage of the scoring service, a day with a stale reference table, currencies with and
without a rate, repeats, rules of the policy file and a control share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.audited_columns import payments_of
from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import log_offsets
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, decision_row
from adapters.model_registry.model_folder import write_model
from adapters.runtime.policy_file import read_policy_file
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.decide import DegradationCause, DegradedReason, ScorableRows, apply_policy, score
from cardwatch.decision.folding import cards_of, concatenate_without_repeats, fold_transactions
from cardwatch.decision.records import decisions_of_record
from cardwatch.events import EPOCH, Decision, Transaction, decode, encode, utc_day
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import Canary, Scores, Shadow
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import DECISIONS, TRANSACTIONS
from models.training import FittedDetector, TrainingSettings, fit_detector
from stress.memory_registry import MemoryRegistry
from tests.archived_world import archive_world

WORLD: Final = SimulationSettings(seed=11, cards=80, fraud_share=0.05)
HISTORY_DAYS, DAYS, PARTITIONS = 6, 13, 2
FIRST_DECIDED: Final = WORLD.first_day + timedelta(days=HISTORY_DAYS)
LAST_DAY: Final = WORLD.first_day + timedelta(days=DAYS - 1)
STALE_DAY: Final = FIRST_DECIDED + timedelta(days=1)
OUTAGE_DAY: Final = FIRST_DECIDED + timedelta(days=2)
CANARY_DAY: Final = FIRST_DECIDED + timedelta(days=3)
SWAP_DAY: Final = FIRST_DECIDED + timedelta(days=4)
"""The first day that the second model decides."""
CANARY_SHARE: Final = 0.4
KEY: Final = "a key that only the test knows"
OUTAGE: Final = DegradedReason(DegradationCause.SCORING, "no answer within 250 ms")
POLICY: Final = """
currency = "EUR"
[decision]
decline_cost_minor = 100
lost_margin = 0.01
challenge_cost_minor = 50
[decision.rates]
JPY = 0.6
[decision.control]
share = 0.5
cap_minor = 1000000
[[decision.rules]]
reason = "POLICY_LARGE"
action = "challenge"
else_decline = true
when = [{ name = "amount", at_least = 250 }]
[[decision.rules]]
reason = "POLICY_CASH"
action = "decline"
when = [{ name = "channel", one_of = ["atm"] }, { name = "currency", one_of = ["JPY"] }]
"""
OLD_TABLE: Final = ReferenceTable((WORLD.first_day - EPOCH.date()).days - 60, label_positions={"0": 1})
"""A table that is stale on every day of the world."""


class TablesOfDays:
    """The stored tables, but for `STALE_DAY`, on which there is only the old one."""

    def __init__(self, store: ReferenceTableStore) -> None:
        self._store = store

    def newest(self, at: date) -> ReferenceTable:
        return OLD_TABLE if at == STALE_DAY else self._store.newest(at)


class AuditedWorld:
    """A home with archive, tables, policy file, models and decisions. `registry` has the versions 1 and 2."""

    def __init__(self, home: Path) -> None:
        self.home, self.policy_file = home, home / "policy.toml"
        self.policy_file.write_text(POLICY)
        self.policy = read_policy_file(self.policy_file).decision
        archive_world(home, WORLD, DAYS, PARTITIONS, changed=_with_currencies_and_repeats)
        self.store = ReferenceTableStore(home / "tables")
        self.store.put(OLD_TABLE)
        self.archive = Archive(home / "archive")
        self.registry = MemoryRegistry()
        self._log = self._read_log()
        self.models = [self._train(seed) for seed in (1, 2)]
        for model in self.models:
            self.registry.register(model.files, {}, promoted=True)
        self.decisions = [decision for partition in range(PARTITIONS) for decision in self._decide(partition)]
        rows = [decision_row(decision) for decision in self.decisions]
        with closing(ArchiveWriter(home / "archive")) as writer:
            writer.write({DECISIONS: rows}, {(DECISIONS, partition): len(rows) for partition in range(PARTITIONS)})

    def write_model_folder(self, folder: Path, version: str) -> None:
        found = self.registry.version(version)
        assert found is not None
        write_model(folder, found, self.registry.files(found))

    def _read_log(self) -> dict[int, list[tuple[int, Transaction]]]:
        """The transactions of each partition with their offsets."""
        table = self.archive.transactions(WORLD.first_day, LAST_DAY)
        payments = [each for each in payments_of(table, np.ones(len(table), np.bool_)) if each is not None]
        log: dict[int, list[tuple[int, Transaction]]] = {partition: [] for partition in range(PARTITIONS)}
        places = zip(table["partition"].to_pylist(), log_offsets(table).tolist(), payments, strict=True)
        for partition, offset, payment in places:
            assert partition is not None
            log[partition].append((offset, payment))
        return log

    def _train(self, seed: int) -> FittedDetector:
        """Train on history; every fourth row calibrates."""
        labels = self.archive.all_labels()
        frauds = set(labels.filter(labels["is_fraud"])["transaction_id"].to_pylist())
        features: list[NDArray[np.float32]] = []
        names: list[str] = []
        for log in self._log.values():
            payments = [payment for _, payment in log]
            cards, index = cards_of(payments)
            rows = fold_transactions(self.store, empty_states(len(cards)), index, payments).rows
            features.append(rows.features[~rows.duplicates])
            names += compress([payment.transaction_id for payment in payments], (~rows.duplicates).tolist())
        matrix, is_fraud = np.concatenate(features), np.array([name in frauds for name in names])
        calibrates = np.arange(len(names)) % 4 == seed
        return fit_detector(
            matrix[~calibrates],
            is_fraud[~calibrates],
            calibration_features=matrix[calibrates],
            calibration_is_fraud=is_fraud[calibrates],
            settings=TrainingSettings(trees=30, depth=3, seed=seed),
        )

    def _decide(self, partition: int) -> list[Decision]:
        log = self._log[partition]
        cards, index = cards_of([payment for _, payment in log])
        states, control = empty_states(len(cards)), ControlSample(KEY.encode())
        decisions: list[Decision] = []
        for day in (WORLD.first_day + timedelta(days=number) for number in range(DAYS)):
            rows = [row for row, (_, payment) in enumerate(log) if utc_day(payment.occurred_at) == day]
            payments = [log[row][1] for row in rows]
            folded = fold_transactions(TablesOfDays(self.store), states, index[rows], payments)
            if day < FIRST_DECIDED:
                continue
            records = [Record(TRANSACTIONS, partition, log[row][0], 0, None, None) for row in rows]
            records = list(compress(records, (~folded.rows.duplicates).tolist()))
            new = concatenate_without_repeats([folded])
            scored = score(self.policy, new, partial(self._scores, day))
            outcomes = apply_policy(self.policy, scored, control)
            version = self.policy.version
            made = decisions_of_record(new, records, outcomes, policy_version=version, now_ms=1_700_000_000_000.0)
            decisions += [decode(encode(each), Decision) for each in made]
        return decisions

    def _scores(self, day: date, rows: ScorableRows) -> Scores | DegradedReason:
        if day == OUTAGE_DAY:
            return OUTAGE
        champion, other = ("1", "2") if day < SWAP_DAY else ("2", "1")
        margins, probabilities, reasons = self._scores_by(champion, rows)
        of_other = self._scores_by(other, rows)
        return Scores(
            model_version=champion,
            model_digest=self._digest(champion),
            margins=margins,
            probabilities=probabilities,
            reasons=reasons,
            shadow=Shadow(
                model_version=other, model_digest=self._digest(other), margins=of_other[0], probabilities=of_other[1]
            )
            if day < CANARY_DAY
            else None,
            canary=self._canary(other, of_other) if day == CANARY_DAY else None,
        )

    def _scores_by(
        self, version: str, rows: ScorableRows
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], list[list[str]]]:
        detector = self.models[int(version) - 1].detector
        margins = detector.margins(rows.features)
        probabilities = detector.probabilities(margins)
        is_alarming = probabilities >= self.policy.alarming_probabilities(rows.amounts_minor, rows.channels)
        codes = detector.reasons(rows.features)
        return (
            margins,
            probabilities,
            [of_row if alarms else [] for of_row, alarms in zip(codes, is_alarming, strict=True)],
        )

    def _canary(self, version: str, scores: tuple[NDArray[np.float32], NDArray[np.float64], list[list[str]]]) -> Canary:
        margins, probabilities, reasons = scores
        return Canary(
            model_version=version,
            model_digest=self._digest(version),
            share=CANARY_SHARE,
            margins=margins,
            probabilities=probabilities,
            reasons=reasons,
        )

    def _digest(self, version: str) -> str:
        found = self.registry.version(version)
        assert found is not None
        return found.digest


def _with_currencies_and_repeats(_number: int, transactions: Sequence[Transaction]) -> list[Transaction]:
    changed = [
        structs.replace(each, currency="JPY" if at % 9 == 0 else "XTS" if at % 31 == 0 else "EUR")
        for at, each in enumerate(transactions)
    ]
    return [*changed, changed[-1]]


def change_rows(
    archive: Path, kind: str, is_changed: Callable[[dict[str, Any]], bool], change: Callable[[dict[str, Any]], None]
) -> int:
    """Change rows of an archive's files behind its back, and return how many."""
    number = 0
    for path in sorted((archive / kind).rglob("*.parquet")):
        rows = pq.read_table(path, schema=SCHEMAS[kind], partitioning=None).to_pylist()
        of_file = [row for row in rows if is_changed(row)]
        for row in of_file:
            change(row)
        if of_file:
            number += len(of_file)
            write_rows(path, kind, rows)
    return number


def write_rows(path: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    """Write a file of an archive as the archive does, with a row group for each partition."""
    with pq.ParquetWriter(path, SCHEMAS[kind], compression="zstd") as writer:
        for partition in sorted({row["partition"] for row in rows}):
            of_partition = [row for row in rows if row["partition"] == partition]
            writer.write_table(pa.Table.from_pylist(of_partition, schema=SCHEMAS[kind]))
