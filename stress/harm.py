"""What models cost in truth: their decisions on a world of the same kind with ten times the cards.

Such a world is simulated once, and its feature rows are kept: all frauds, and a tenth of the genuine transactions with
ten times the weight. Everything is approved in it and no fraudster reacts, so it does not depend on any model. A fault
of the data changes what a model sees; the cost is that of the true amounts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.runtime.files import atomic_path
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.detector.detector import Detector
from cardwatch.simulation.faults import DataFault
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology
from models.evaluation import row_costs_minor
from stress.simulated_features import SimulatedFeatures

GENUINE_SHARE: Final = 0.1
"""Share of the genuine transactions that is kept."""


class HeldRows(Struct, frozen=True, kw_only=True):
    """n transactions of a world, for the true cost of models.

    `days`: int64 [n], day numbers. `features`: float32 [n, features], as a model sees them. `seen_minor` and
    `true_minor`: int64 [n], the amounts of the records and the true ones. `is_fraud`: bool [n]. `weight`: float64 [n],
    how many transactions a row stands for.
    """

    days: NDArray[np.int64]
    features: NDArray[np.float32]
    seen_minor: NDArray[np.int64]
    true_minor: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float64]

    def cost_minor(self, detector: Detector, policy: DecisionPolicy, first_day: int, until_day: int) -> float:
        """Return the true cost of the model's decisions on days [first_day, until_day), in minor units a day."""
        rows = np.flatnonzero((self.days >= first_day) & (self.days < until_day))
        features = self.features[rows]
        channels = channels_of(features)
        probabilities = detector.probabilities(detector.margins(features))
        actions = policy.decide(probabilities, self.seen_minor[rows].astype(np.float64), channels)
        costs = row_costs_minor(policy, actions, self.is_fraud[rows], self.true_minor[rows], channels)
        return float(costs.incurred @ self.weight[rows]) / (until_day - first_day)


class HeldWorld:
    """A world whose rows are held, from day `first_day` on."""

    def __init__(self, settings: SimulationSettings, maturity_days: int) -> None:
        self._features = SimulatedFeatures(settings, maturity_days)
        self._true = Simulation(without_faults(settings))
        self._held: list[HeldRows] = []

    def branch(self, settings: SimulationSettings) -> HeldWorld:
        """Return an independent copy that goes on with other settings, see `Simulation.branch`."""
        twin = HeldWorld.__new__(HeldWorld)
        twin._features = self._features.branch(settings)
        twin._true = self._true.branch(without_faults(settings))
        twin._held = list(self._held)
        return twin

    def run_until(self, until_day: int, *, first_held_day: int) -> None:
        """Simulate the days before day number `until_day`, and hold the rows from `first_held_day` on."""
        while self._features.next_day < until_day:
            begun = self._features.begin_day()
            true = self._true.simulate_day(begun.number).transactions
            self._features.end_day(begun)
            if begun.number >= first_held_day:
                true_minor = np.zeros(true["number"].max() + 1, np.int64)
                true_minor[true["number"]] = true["amount_minor"]
                is_fraud = begun.truth["typology"] != Typology.GENUINE
                drawn = np.random.default_rng((self._features.settings.seed, begun.number)).random(len(is_fraud))
                kept = ~begun.folded.duplicates & (is_fraud | (drawn < GENUINE_SHARE))
                self._held.append(
                    HeldRows(
                        days=np.full(kept.sum(), begun.number, np.int64),
                        features=begun.folded.features[kept],
                        seen_minor=begun.rows["amount_minor"][kept],
                        true_minor=true_minor[begun.truth["number"][kept]],
                        is_fraud=is_fraud[kept],
                        weight=np.where(is_fraud[kept], 1.0, 1.0 / GENUINE_SHARE),
                    )
                )

    def rows(self) -> HeldRows:
        """Return all rows that are held."""
        columns = (np.concatenate([getattr(part, name) for part in self._held]) for name in HeldRows.__struct_fields__)
        return HeldRows(**dict(zip(HeldRows.__struct_fields__, columns, strict=True)))


def without_faults(settings: SimulationSettings) -> SimulationSettings:
    """Return the settings of the same world with right data."""
    timeline = tuple(event for event in settings.timeline if not isinstance(event, DataFault))
    return structs.replace(settings, timeline=timeline)


def save(rows: HeldRows, path: Path) -> None:
    """Write the rows to a file, whole or not at all."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez(file, **structs.asdict(rows))


def load(path: Path) -> HeldRows:
    """Read what `save` wrote."""
    with np.load(path) as columns:
        return HeldRows(**{name: columns[name] for name in HeldRows.__struct_fields__})
