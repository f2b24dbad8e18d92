"""Average precision in one world of compromised merchants, and its results over several worlds."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benchmarks.feature_comparison import compare_folds
from benchmarks.merchant_compromise.compromise_world import CompromiseWorld
from benchmarks.world_means import estimate
from cli.evaluate.dataset import Dataset, read_dataset
from cli.evaluate.mapping_file import parse_mapping
from cli.evaluate.rejects import Fault
from cli.evaluate.replay import Report
from infra.aws.markdown_tables import table
from models.prequential import PrequentialProtocol
from models.training import TrainingSettings

PROTOCOL: Final = PrequentialProtocol(train_days=7, delay_days=7, test_days=7, folds=5)
MAPPING: Final = """
transaction:
  occurred_at: time
  card_id: card
  merchant_id: merchant
  amount: {column: amount_minor, unit: minor}
label:
  is_fraud: is_fraud
protocol: {train_days: 7, delay_days: 7, test_days: 7}
"""
"""A payment tells these four things, and its label is known seven days later."""


class CompromiseResult(Struct, frozen=True, kw_only=True):
    """Average precision of each fold in the world of one seed, before and now."""

    seed: int
    transactions: int
    frauds: int
    before: list[float]
    now: list[float]


def measure_world(world: CompromiseWorld, report: Report) -> CompromiseResult:
    """Return the average precision in this world with both sets of features, on folds of `PROTOCOL`."""
    dataset = dataset_of(world)
    before, now = [], []
    for fold in compare_folds(dataset, PROTOCOL, TrainingSettings(), report):
        is_fraud = dataset.is_fraud[fold.rows]
        before.append(float(average_precision_score(is_fraud, fold.before)))
        now.append(float(average_precision_score(is_fraud, fold.now)))
    return CompromiseResult(
        seed=world.seed, transactions=len(dataset), frauds=int(dataset.is_fraud.sum()), before=before, now=now
    )


def dataset_of(world: CompromiseWorld) -> Dataset:
    """Return the payments of a world as `cardwatch evaluate` reads them from a file."""
    payments = world.payments()
    columns = pa.table(
        {
            "time": pa.array(payments["occurred_at_ms"]).cast(pa.timestamp("ms", "UTC")),
            "card": _names("card", payments["card"]),
            "merchant": _names("merchant", payments["merchant"]),
            "amount_minor": payments["amount_minor"],
            "is_fraud": payments["cause"] > 0,
        }
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "payments.parquet"
        pq.write_table(columns, path)
        return read_dataset(path, parse_mapping(MAPPING, "benchmark"), _refuse)


def markdown(results: list[CompromiseResult]) -> str:
    """Return the table of the documentation: the means over the folds, and over the worlds with their interval."""
    before, now = ([float(np.mean(getattr(result, name))) for result in results] for name in ("before", "now"))
    gains = [later - earlier for earlier, later in zip(before, now, strict=True)]
    rows = [
        (str(result.seed), f"{earlier:.3f}", f"{later:.3f}", f"{later - earlier:+.3f}")
        for result, earlier, later in zip(results, before, now, strict=True)
    ]
    mean = ("mean", f"{np.mean(before):.3f}", f"{np.mean(now):.3f}", estimate(gains).shown("+.3f"))
    return table(("seed", "before", "now", "difference"), [*rows, mean])


def _names(prefix: str, numbers: NDArray[np.int32]) -> Any:  # pyarrow's stubs do not give the type
    return pa.DictionaryArray.from_arrays(
        pa.array(numbers), pa.array([f"{prefix}-{number}" for number in range(int(numbers.max()) + 1)])
    )


def _refuse(fault: Fault) -> None:
    raise AssertionError(f"the world has a row that cannot be read: {fault}")
