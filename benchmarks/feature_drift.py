"""False alarms of data drift in calm worlds, and its reaction to a change: `python -m benchmarks.feature_drift`.

Each world has a reference of four weeks that ends on day `AS_OF`. Then the newest week of every second day is compared
with it as the monitor does, but without margins, which need a model.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.selective_labels.decided_days import PolicyWorld
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import EPOCH
from cardwatch.simulation.settings import SimulationSettings
from monitoring.feature_drift import DAYS_PER_WEEK, DriftReference, FeatureDrift

AS_OF: Final = 59
"""Last day of the reference, counted from the first day as 0."""
REFERENCE_DAYS: Final = 28
LAST_DAY: Final = 119
CHANGE_DAY: Final = 74
"""Day of the demo's change in the worlds that have one."""
EVERY_DAYS: Final = 2
_SEEDS: Final = (701, 702, 703, 704, 705)


class DriftOfWorld(Struct, frozen=True, kw_only=True):
    """Shares of the columns over their thresholds by compared day, and the number of days by column."""

    seed: int
    changes: bool
    shares: dict[int, float]
    columns: dict[str, int]


def measure_world(seed: int, cards: int, *, changes: bool) -> DriftOfWorld:
    """Return the drift in the world of a seed, on the days from a week after `AS_OF` on."""
    settings = SimulationSettings(seed=seed, cards=cards, change_day=CHANGE_DAY if changes else None)
    world, days = PolicyWorld(settings, DecisionPolicy()), []
    for _ in range(LAST_DAY + 1):
        days.append(world.run_day().features)
    first = (settings.first_day - EPOCH.date()).days
    reference = range(AS_OF - REFERENCE_DAYS + 1, AS_OF + 1)
    rows = _rows(days, reference)
    drift = FeatureDrift(
        DriftReference(
            features=rows,
            margins=_no_margins(rows),
            days=np.repeat([first + day for day in reference], [len(days[day]) for day in reference]),
        )
    )
    shares, columns = {}, Counter[str]()
    for day in range(AS_OF + DAYS_PER_WEEK, LAST_DAY + 1, EVERY_DAYS):
        rows = _rows(days, range(day - DAYS_PER_WEEK + 1, day + 1))
        found = drift.compare(rows, _no_margins(rows), settings.first_day + timedelta(days=day))
        shares[day] = found.share
        columns.update(found.drifted)
    return DriftOfWorld(seed=seed, changes=changes, shares=shares, columns=dict(columns.most_common()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure worlds without and with a change, print what is found, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(prog="feature_drift", description="Measure false alarms of data drift.")
    parser.add_argument("--seeds", type=int, nargs="+", default=_SEEDS)
    parser.add_argument("--cards", type=int, default=2_000)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args(arguments)
    worlds = []
    for changes in (False, True):
        for seed in chosen.seeds:
            worlds.append(measure_world(seed, chosen.cards, changes=changes))
            shares = worlds[-1].shares
            late = [share for day, share in shares.items() if day >= CHANGE_DAY + DAYS_PER_WEEK]
            sys.stdout.write(
                f"seed {seed}, {'changed' if changes else 'calm'}: share of columns over their thresholds at most "
                f"{max(shares.values()):.3f}; from a week after day {CHANGE_DAY}: {min(late):.3f} to {max(late):.3f}\n"
            )
    days, calm = Counter[str](), [world for world in worlds if not world.changes]
    for world in calm:
        days.update(world.columns)
    total = sum(len(world.shares) for world in calm)
    for name, count in days.most_common(10):
        sys.stdout.write(f"{name}: over its threshold on {count / total:.1%} of {total} calm days\n")
    if chosen.output is not None:
        chosen.output.write_bytes(msgspec.json.format(msgspec.json.encode(worlds)) + b"\n")


def _rows(days: Sequence[NDArray[np.float32]], chosen: range) -> NDArray[np.float32]:
    return np.concatenate([days[day] for day in chosen])


def _no_margins(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full(len(rows), np.nan, np.float32)


if __name__ == "__main__":
    main()
