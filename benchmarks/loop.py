"""The loop on a few simulated worlds: its processor time, what it finds, and what a retraining regains.

A part of `cardwatch stress` with the default policy, on seeds that are not those of the published stress test: small
enough for every run of the benchmarks, too small for a statement on rare events.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from adapters.runtime.policy_file import Policies
from benchmarks.harness import Metric, Metrics
from stress.outcome import HARM_DAYS, REGAINED_AFTER_DAYS, WorldOutcome
from stress.runner import StressRun, run_missing
from stress.scenarios import CARDS, LIVE_DAYS, ONSET_DAY

SEEDS: Final = [1, 2]
CALM: Final = "calm"
DRIFT: Final = "relay-and-spending"
FAULT: Final = "clock"


def measure() -> Metrics:
    """Run the worlds in a folder of their own, on all cores, and return what they say."""
    run = StressRun(seeds=SEEDS, scenarios=[CALM, DRIFT, FAULT], cards=CARDS)
    with tempfile.TemporaryDirectory() as folder:
        return metrics_of(list(run_missing(Path(folder), run, Policies(), processes=os.cpu_count() or 1)))


def metrics_of(outcomes: Sequence[WorldOutcome]) -> Metrics:
    """Return medians over the worlds of each kind; what was never seen has no metric."""
    calm, drift, fault = ([one for one in outcomes if one.scenario == scenario] for scenario in (CALM, DRIFT, FAULT))
    retrained = [one.cpu_seconds for one in drift if one.retrainings]
    regained = [one.regained.share for one in drift if one.regained is not None and one.regained.share is not None]
    delays = [one.detected_on - ONSET_DAY for one in drift if one.detected_on is not None]
    promotions = [retraining for one in outcomes for retraining in one.retrainings if retraining.promoted]
    of = f"{CARDS:,} cards, {LIVE_DAYS} live days, the part from the change on"
    metrics = {
        "loop_calm_time": _seconds([one.cpu_seconds for one in calm], f"a calm world, {of}"),
        "loop_retrained_time": _seconds(retrained, f"a world with a retraining, {of}"),
        "loop_detection": _metric(delays, "days", "from the demo's change to the alarm", f"of {len(drift)} worlds"),
        "loop_fault": _metric(
            [one.found_on - ONSET_DAY for one in fault if one.found_on is not None],
            "days",
            "from a clock that is six hours late to the finding",
            f"of {len(fault)} worlds",
            "at most 1",
        ),
        "loop_regained": _metric(
            regained,
            "of what hindsight saves",
            f"{REGAINED_AFTER_DAYS} days after the demo's change, in true cost",
            f"of {len(drift)} worlds",
            "at least 0.9",
        ),
        "loop_harmful": Metric(
            value=float(sum(one.is_harmful for one in promotions)),
            unit="promotions",
            how=f"of {len(promotions)}, that cost more in truth over the {HARM_DAYS} days after",
            goal="0",
        ),
    }
    return {name: metric for name, metric in metrics.items() if metric is not None}


def _seconds(values: Sequence[float], how: str) -> Metric | None:
    return _metric(values, "s of processor time", how, f"of {len(values)} worlds", "at most 60 s")


def _metric(values: Sequence[float], unit: str, what: str, of: str, goal: str = "") -> Metric | None:
    if not values:
        return None
    return Metric(value=float(median(values)), unit=unit, how=f"{what}; median {of}, seen in {len(values)}", goal=goal)
