"""Warm-up: compile the numba code, or load it from disk, before a process reports readiness.

Images are built with `python -m cardwatch.warm_up` under `NUMBA_CPU_NAME=generic`, as they run, so that a container
needs no writable disk to start. numba compiles per array type, so the functions here pass the same types as real calls
do.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.one_transaction import OneTransaction
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import Detector, DetectorFacts
from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.events import EPOCH, Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.features.hashing import hash_slices
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states

EXAMPLE: Final = Transaction(
    transaction_id="example",
    card_id="example",
    merchant_id="example",
    occurred_at=EPOCH,
    amount_minor=0,
    currency="EUR",
    merchant_category="0000",
    channel=Channel.CHIP,
    country="DE",
)


def warm_kernel() -> None:
    """Compile the feature kernel and the hashing of identifiers."""
    fold(empty_states(1), np.zeros(1, np.int64), encode([EXAMPLE]), ReferenceTable.empty())
    for offsets in (np.int32, np.int64):
        bounds = np.frombuffer(np.array([0, 7], offsets).tobytes(), offsets)
        hash_slices(np.frombuffer(b"example", np.uint8), bounds)


def one_split_detector() -> Detector:
    """Return a detector with one tree of one split: margin -1 for a missing or negative amount, else 1."""
    trees = FlatTrees(
        features=len(FEATURE_NAMES),
        base_margin=np.float32(0.0),
        nodes=np.array([(0.0, 0, 1), (np.nan, 0, 0), (np.nan, 0, 1)], NODE),
        values=np.array([0.0, -1.0, 1.0], np.float32),
        roots=np.zeros(1, np.int32),
        depths=np.ones(1, np.int32),
        shares=np.array([1.0, 0.5, 0.5]),
        same=np.full(3, -1, np.int32),
        points=np.array([0.5]),
        weights=np.array([1.0]),
    )
    facts = DetectorFacts(
        schema_hash=SCHEMA_HASH,
        feature_names=FEATURE_NAMES,
        calibration=Calibration(margins=[-1.0, 1.0], probabilities=[0.0, 1.0]),
        settings={},
        rows=1,
        frauds=0,
        fingerprint="",
    )
    return Detector(FlatTrees.from_bytes(trees.to_bytes()), facts)


def warm_scoring(policy: DecisionPolicy) -> None:
    """Compile scoring, explanations and decisions, for writable rows and for the read-only rows of a request."""
    detector = one_split_detector()
    writable = np.zeros((1, len(FEATURE_NAMES)), np.float32)
    for rows in (writable, np.frombuffer(writable.tobytes(), np.float32).reshape(writable.shape)):
        probabilities = detector.probabilities(detector.margins(rows))
        policy.decide(probabilities, np.zeros(1), np.zeros(1, np.int64))
        detector.reasons(rows)
    detector.expected_margin()
    OneTransaction(policy).decide(detector, ReferenceTable.empty(), empty_states(1), EXAMPLE)


if __name__ == "__main__":
    warm_kernel()
    warm_scoring(DecisionPolicy())
