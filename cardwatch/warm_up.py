"""What the first score would have to wait for, done before: compiled code loaded, for the very kinds of arrays.

An image is built with `python -m cardwatch.warm_up`, under `NUMBA_CPU_NAME=generic` as it will run, so that it
starts from
a disk that cannot be written.
"""

from __future__ import annotations

import numpy as np

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import Detector, DetectorFacts
from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.features.warm_up import warm_kernel


def warm_scoring(policy: DecisionPolicy) -> None:
    """Score and explain nobody's row with a tree of one split, as rows of our own and as those of a request."""
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
    detector = Detector(FlatTrees.from_bytes(trees.to_bytes()), facts)
    ours = np.zeros((1, len(FEATURE_NAMES)), np.float32)
    for rows in (ours, np.frombuffer(ours.tobytes(), np.float32).reshape(ours.shape)):
        probabilities = detector.probabilities(detector.margins(rows))
        policy.decide(probabilities, np.zeros(1))
        detector.reasons(rows)
    detector.expected_margin()


if __name__ == "__main__":
    warm_kernel()
    warm_scoring(DecisionPolicy())
