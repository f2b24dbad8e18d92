"""What-if over an archive: decisions per second of one core, from Parquet files to figures.

Compared with deciding each archived row again through `cardwatch.decision.decide`, one at a time, without figures. Time
is the processor time of all threads, which other load changes less than wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.reader import Archive
from adapters.archive.recorded_rows import read_recorded_rows
from adapters.archive.writer import ArchiveWriter, decision_row, label_row, transaction_row
from benchmarks.harness import Metric, Metrics, in_rounds, ratio
from benchmarks.serving.fixture import CARDS, TRANSACTIONS, serving_fixture
from benchmarks.transactions import random_table, random_transactions
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.decision.decide import ScorableRows, Scored, apply_policy
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.decision.what_if import Alternative, what_if
from cardwatch.detector.detector import Detector
from cardwatch.events import EPOCH, Channel, Decision, Label, LabelSource, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.reference_choice import TableChoice
from cardwatch.ports import Scores
from cardwatch.topics import DECISIONS, LABELS
from cardwatch.topics import TRANSACTIONS as TRANSACTIONS_TOPIC

DAYS: Final = 2
COPIES: Final = 4
"""How often the fixture's transactions appear on each day."""
ROUNDS: Final = 7
NAIVE_ROWS: Final = 1_000
CURRENT: Final = DecisionPolicy(currency="EUR")
STRICTER: Final = DecisionPolicy(currency="EUR", decline_cost_minor=200.0, challenge_cost_minor=50.0)
GOALS: Final = {"policy": 500_000, "capacity": 500_000, "model": 150_000}


def measure() -> Metrics:
    """Return decisions per second and core for each kind of what-if."""
    data = serving_fixture()
    detector = data.fitted.detector
    with TemporaryDirectory() as folder:
        days = write_archive(Path(folder), detector, data.rows)
        archive = Archive(Path(folder))
        alternatives = {
            "policy": Alternative(policy=STRICTER),
            "capacity": Alternative(policy=CURRENT, alerts=DAYS * 100),
            "model": Alternative(policy=CURRENT, score=lambda rows: detector.probabilities(detector.margins(rows))),
        }
        candidates: dict[str, Callable[[], float]] = {
            name: _rate(archive, days, alternative) for name, alternative in alternatives.items()
        }
        candidates |= {f"{name}_naive": _naive_rate(archive, days, each) for name, each in alternatives.items()}
        rates = in_rounds(candidates, rounds=ROUNDS, uncounted=1)
    rows = f"{DAYS * COPIES * TRANSACTIONS:,} archived decisions"
    return {
        f"whatif_{name}": Metric(
            value=float(np.median(rates[name])),
            unit="decisions per second and core",
            baseline=float(np.median(rates[f"{name}_naive"])),
            ratio=ratio(rates[name], rates[f"{name}_naive"]),
            how=f"{rows}, Parquet files to figures, in processor time; compared with deciding each row again, singly",
            goal=f"at least {goal:,}",
        )
        for name, goal in GOALS.items()
    }


def write_archive(folder: Path, detector: Detector, rows: NDArray[np.float32]) -> tuple[date, date]:
    """Write closed days of decisions by the detector and `CURRENT`, and return the first and the last."""
    transactions = random_transactions(TRANSACTIONS, CARDS, seed=2)
    probabilities = detector.probabilities(detector.margins(rows))
    outcomes = _decide(CURRENT, transactions, rows, probabilities)
    features = [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]
    first = EPOCH.date() + timedelta(days=20_000)
    with closing(ArchiveWriter(folder)) as writer:
        offset = 0
        for number in range(DAYS):
            paid, decided = [], []
            for copy in range(COPIES):
                for i, (transaction, outcome) in enumerate(zip(transactions, outcomes, strict=True)):
                    of_day = structs.replace(
                        transaction,
                        transaction_id=f"t-{number:05d}-{copy * TRANSACTIONS + i:06d}",
                        occurred_at=EPOCH + timedelta(days=20_000 + number, seconds=i),
                    )
                    decision = Decision(
                        transaction=of_day,
                        partition=0,
                        offset=offset,
                        sequence=1,
                        features=features[i],
                        feature_schema=SCHEMA_HASH,
                        table_id="table",
                        model_version="1",
                        policy_version=CURRENT.version,
                        margin=outcome.margin,
                        probability=outcome.probability,
                        action=outcome.action,
                        reasons=outcome.reasons,
                        decided_at=of_day.occurred_at,
                        latency_ms=1.0,
                    )
                    paid.append(transaction_row(of_day, 0, offset))
                    decided.append(decision_row(decision))
                    offset += 1
            labels = [label_row(_label(row), 0, row["log_offset"]) for row in paid[::500]]
            writer.write({TRANSACTIONS_TOPIC: paid, DECISIONS: decided, LABELS: labels}, {})
            writer.close_day(first + timedelta(days=number), "table")
    return first, first + timedelta(days=DAYS - 1)


def _label(row: dict[str, Any]) -> Label:
    names = ("transaction_id", "card_id", "merchant_id")
    return Label(
        **{name: row[name] for name in names},
        is_fraud=True,
        effective_at=row["occurred_at"],
        observed_at=row["occurred_at"],
        source=LabelSource.CUSTOMER,
    )


def _rate(archive: Archive, days: tuple[date, date], alternative: Alternative) -> Callable[[], float]:
    def replayed() -> float:
        begin = time.process_time()
        parts = read_recorded_rows(archive, *days, policies=[CURRENT, alternative.policy], maturity_days=0)
        result = what_if(parts, alternative, known=[CURRENT], control=None)
        seconds = time.process_time() - begin
        if result.reproduced != result.rows:
            raise ValueError(f"{result.rows - result.reproduced} decisions are not reproduced")
        return result.rows / seconds

    return replayed


def _naive_rate(archive: Archive, days: tuple[date, date], alternative: Alternative) -> Callable[[], float]:
    """Decide the first rows of the archive again, singly. Reading them is not part of the time."""
    decided = archive.decisions(days[0], days[0]).slice(0, NAIVE_ROWS).to_pylist()
    paid = archive.transactions(days[0], days[0]).slice(0, NAIVE_ROWS).to_pylist()
    names = Transaction.__struct_fields__

    def replayed() -> float:
        begin = time.process_time()
        for decision, transaction in zip(decided, paid, strict=True):
            payment = Transaction(**{name: transaction[name] for name in names})
            payment = structs.replace(payment, channel=Channel(transaction["channel"]))
            features = np.array([decision["features"]], np.float32)
            probabilities = np.array([decision["probability"]])
            if alternative.score is not None:
                probabilities = alternative.score(features)
            _decide(alternative.policy, [payment], features, probabilities)
        return len(decided) / (time.process_time() - begin)

    return replayed


def _decide(
    policy: DecisionPolicy,
    transactions: list[Transaction],
    features: NDArray[np.float32],
    probabilities: NDArray[np.float64],
) -> list[Any]:
    count = len(transactions)
    folded = FoldedTransactions(
        transactions,
        [TableChoice(random_table(), None)] * count,
        FoldedRows(features, np.zeros(count, np.int64), np.zeros(count, np.bool_)),
    )
    amounts = np.array([payment.amount_minor * (policy.rate_of(payment.currency) or 1.0) for payment in transactions])
    rows = ScorableRows(features, amounts, channels_of(features), transactions)
    scores = Scores(
        model_version="1",
        model_digest="",
        margins=np.zeros(count, np.float32),
        probabilities=probabilities,
        reasons=[[]] * count,
    )
    return apply_policy(policy, Scored(folded, [None] * count, rows, scores))
