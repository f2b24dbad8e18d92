"""Recall by typology: which kinds of fraud the detector finds, where the truth of each transaction is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from cardwatch.errors import Misconfigured
from cli.evaluate.dataset import Dataset, Text
from cli.evaluate.scored_fold import ScoredFold
from cli.evaluate.tables import results_table
from models.evaluation import threshold_at_one_false_positive_per
from models.wilson import wilson_interval

COLUMNS: Final = ("transaction_id", "typology")
GENUINE: Final = "genuine"
_RATES: Final = {"0_1_percent": 1_000, "1_percent": 100}
"""False-positive rates, each as the number of genuine transactions per false positive."""


class TypologyRecall(Struct, frozen=True, kw_only=True):
    """How many of a typology's reported frauds in all tests have a score above each fold's threshold.

    The thresholds are those of the fold's recall at a false-positive rate of 0.1 % and 1 %. `interval`: the 95 %
    interval of the first recall (Wilson 1927), which takes the transactions to be independent.
    """

    typology: str
    frauds: int
    recall_at_fpr_0_1_percent: float
    interval: tuple[float, float]
    recall_at_fpr_1_percent: float


class TypologiesOfRows(Struct, frozen=True, kw_only=True):
    """The typology of each row of a data set: an index of `names`, int64 [rows]."""

    names: list[str]
    codes: NDArray[np.int64]


def read_truth(path: Path, dataset: Dataset) -> TypologiesOfRows:
    """Return the typologies of the rows from a Parquet file with `COLUMNS`, as `cardwatch simulate` writes it.

    Raises `Misconfigured` if the file cannot be read or lacks a column, if a transaction is not in it or has several
    typologies, if it is the truth of another world, and if the mapping names no `transaction_id`.
    """
    ids = dataset.columns.get("transaction_id")
    if not isinstance(ids, Text):
        raise Misconfigured(f"--truth {path} is joined by transaction_id, and the mapping has none")
    try:
        table = pq.read_table(path, columns=list(COLUMNS))
        pairs = set(zip(*(table[name].cast(pa.string()).to_pylist() for name in COLUMNS), strict=True))
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"--truth {path}: cannot be read as Parquet with {' and '.join(COLUMNS)}: {error}"
        ) from error
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Misconfigured(f"--truth {path}: some transactions are in it with several typologies")
    of_names = [found.get(name) for name in ids.names[:-1]]
    if None in of_names:
        unknown = ids.names[of_names.index(None)]
        raise Misconfigured(f"--truth {path}: transaction {unknown!r} is not in it; is it the truth of other data?")
    names, codes = np.unique(np.array(of_names, dtype=object), return_inverse=True)
    truth = TypologiesOfRows(names=names.tolist(), codes=codes[ids.codes])
    _require_same_world(path, dataset, truth)
    return truth


def _require_same_world(path: Path, dataset: Dataset, truth: TypologiesOfRows) -> None:
    """Raise `Misconfigured` if most reported frauds are genuine in truth: worlds share their transaction ids."""
    reported = truth.codes[dataset.is_fraud]
    if GENUINE in truth.names and 2 * np.count_nonzero(reported == truth.names.index(GENUINE)) > len(reported):
        raise Misconfigured(f"--truth {path}: most of the reported frauds are genuine in it; is it of another world?")


def recall_by_typology(dataset: Dataset, truth: TypologiesOfRows, scored: Sequence[ScoredFold]) -> list[TypologyRecall]:
    """Return the recall of each typology with reported fraud in the tests, the most frequent first."""
    codes: list[NDArray[np.int64]] = []
    above: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in _RATES}
    for fold in scored:
        rows, scores = fold.rows.test.rows, fold.ours.values
        is_fraud = dataset.is_fraud[rows]
        codes.append(truth.codes[rows][is_fraud])
        for name, genuine_rows in _RATES.items():
            threshold = threshold_at_one_false_positive_per(genuine_rows, scores, is_fraud)
            above[name].append(scores[is_fraud] > threshold)
    of_fraud = np.concatenate(codes)
    caught = {name: np.concatenate(parts) for name, parts in above.items()}
    results = []
    for code in np.unique(of_fraud).tolist():
        members = of_fraud == code
        found = {name: int(values[members].sum()) for name, values in caught.items()}
        count = int(members.sum())
        results.append(
            TypologyRecall(
                typology=truth.names[code],
                frauds=count,
                recall_at_fpr_0_1_percent=found["0_1_percent"] / count,
                interval=wilson_interval(found["0_1_percent"], count),
                recall_at_fpr_1_percent=found["1_percent"] / count,
            )
        )
    return sorted(results, key=lambda result: (-result.frauds, result.typology))


def typologies_table(results: Sequence[TypologyRecall]) -> Table:
    """The recall by typology, over the tests of all folds."""
    caption = (
        "Reported fraud of all tests. Recall at each fold's threshold for that false-positive rate; low, high: the 95 %"
        " interval of the first (Wilson), transactions taken as independent."
    )
    headings = ["frauds", "recall\n0.1 %\nFPR", "low", "high", "recall\n1 %\nFPR"]
    table = results_table(caption, ["typology"], headings)
    for result in results:
        shares = (result.recall_at_fpr_0_1_percent, *result.interval, result.recall_at_fpr_1_percent)
        table.add_row(escape(result.typology), f"{result.frauds:,}", *(f"{share:.3f}" for share in shares))
    return table
