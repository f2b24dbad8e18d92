"""How long models take to score rows, measured in turns so that the load of the machine hits both alike."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.detector.detector import Detector
from cardwatch.promotion.evidence import ScoringTime

ROWS: Final = 2_000
ROUNDS: Final = 5


def measure_scoring_time(challenger: Detector, champion: Detector | None, features: NDArray[np.float32]) -> ScoringTime:
    """Return the shortest time of several rounds over the first `ROWS` rows, of which there is at least one.

    The shortest time is the one that other processes have disturbed least.
    """
    rows = features[:ROWS]
    times_us: dict[Detector, list[float]] = {challenger: [], **({champion: []} if champion else {})}
    for _ in range(ROUNDS):
        for detector, measured in times_us.items():
            begun = time.perf_counter()
            detector.probabilities(detector.margins(rows))
            measured.append((time.perf_counter() - begun) / len(rows) * 1e6)
    return ScoringTime(
        challenger_us=min(times_us[challenger]), champion_us=min(times_us[champion]) if champion else None
    )
