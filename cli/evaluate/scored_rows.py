"""The scored test rows as a Parquet file, for the user's own analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cli.evaluate.outputs import writing
from cli.evaluate.run import Experiment
from cli.evaluate.scored_fold import ScoredFold

THEIR_PREFIX: Final = "score_"
"""Prefix of the columns with other models' scores; no column of ours begins with it."""


def scored_rows(experiment: Experiment, fold: ScoredFold) -> pa.Table:
    """Return the test rows of a fold, in the order of time.

    `row` is the row's number in the file. `card_id` is the data's own token: reading refuses card numbers. `score` is
    the detector's margin, `probability` calibrated, `action` what the policy decides by it.
    """
    dataset, rows = experiment.dataset, fold.rows.test.rows
    amounts = dataset.columns["amount"][rows].astype(np.float64)
    channels = dataset.kernel["channel"][rows].astype(np.int64)
    actions = experiment.policy.decide(fold.ours.probabilities, amounts, channels)
    columns: dict[str, Any] = {
        "row": pa.array(dataset.columns["row"][rows], pa.int64()),
        "occurred_at": pa.array(dataset.columns["occurred_at"][rows], pa.int64()).cast(pa.timestamp("ms", "UTC")),
        "card_id": pa.array(dataset.card_names[dataset.cards[rows]].tolist(), pa.string()),
        "is_fraud": pa.array(dataset.is_fraud[rows]),
        "fold": pa.array(np.full(len(rows), fold.rows.fold.number), pa.int32()),
        "score": pa.array(fold.ours.values, pa.float32()),
        "probability": pa.array(fold.ours.probabilities, pa.float64()),
        "action": pa.array([action.value for action in actions], pa.string()),
    }
    columns |= {f"{THEIR_PREFIX}{name}": pa.array(scores.values, pa.float64()) for name, scores in fold.theirs.items()}
    return pa.table(columns)


def write_scored_rows(path: Path, experiment: Experiment, scored: Sequence[ScoredFold]) -> int:
    """Write the test rows of all folds to `path`, and return their number. Raises `Misconfigured` if it cannot be."""
    count = 0
    with writing("--scores", path) as place:
        first = scored_rows(experiment, scored[0])
        with pq.ParquetWriter(place, first.schema, compression="zstd") as writer:
            for fold in scored:
                table = first if fold is scored[0] else scored_rows(experiment, fold)
                writer.write_table(table)
                count += table.num_rows
    return count
