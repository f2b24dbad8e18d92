"""Frauds found in each campaign of one simulated world, with both sets of features."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.feature_comparison import compare_folds
from benchmarks.reactions.decided_world import threshold_of
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cli.evaluate.dataset import Dataset, read_dataset
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.rejects import Fault
from cli.evaluate.replay import Report
from cli.simulate.columns import DayTables
from cli.simulate.files import TRANSACTIONS_FILE, TRUTH_FILE, write_world
from models.prequential import PrequentialProtocol
from models.training import TrainingSettings

PROTOCOL: Final = PrequentialProtocol(train_days=28, delay_days=5, test_days=7, folds=3)
WARM_UP_DAYS: Final = 6
"""Days before the first training day: 60 days altogether."""
FALSE_POSITIVE_RATE: Final = 0.001
"""Share of the genuine transactions of a test that may score above the threshold."""
MAPPING: Final = Path(__file__).parents[2] / "examples" / "mappings" / "simulated.yaml"
GENUINE, FRIENDLY_FRAUD = "genuine", "friendly_fraud"


class CampaignResult(Struct, frozen=True, kw_only=True, array_like=True):
    """Frauds of a campaign in the tests of a world, and how many of them are found before and now."""

    typology: str
    campaign: int
    frauds: int
    before: int
    now: int


class WorldResult(Struct, frozen=True, kw_only=True):
    """The campaigns of one world; `days` and `cards` of its simulation."""

    seed: int
    cards: int
    days: int
    campaigns: list[CampaignResult]


class RowTruth(Struct, frozen=True, kw_only=True):
    """The truth about n transactions: typologies, text [n], and campaigns, int64 [n], 0 where genuine."""

    typology: NDArray[np.str_]
    campaign: NDArray[np.int64]


def measure_world(seed: int, cards: int, settings: TrainingSettings, report: Report) -> WorldResult:
    """Simulate a world, and return what is found in its tests at `FALSE_POSITIVE_RATE`."""
    days = WARM_UP_DAYS + PROTOCOL.all_days
    dataset, truth = simulate(SimulationSettings(seed=seed, cards=cards), days, report)
    frauds = np.isin(truth.typology, (GENUINE, FRIENDLY_FRAUD), invert=True)
    tested, before, now = [], [], []
    for fold in compare_folds(dataset, PROTOCOL, settings, report):
        is_fraud, is_genuine = frauds[fold.rows], truth.typology[fold.rows] == GENUINE
        tested.append(fold.rows[is_fraud])
        before.append(_is_above_threshold(fold.before, is_genuine)[is_fraud])
        now.append(_is_above_threshold(fold.now, is_genuine)[is_fraud])
    campaigns = by_campaign(truth, np.concatenate(tested), before=np.concatenate(before), now=np.concatenate(now))
    return WorldResult(seed=seed, cards=cards, days=days, campaigns=campaigns)


def simulate(settings: SimulationSettings, days: int, report: Report) -> tuple[Dataset, RowTruth]:
    """Return a simulated world as `cardwatch evaluate` reads it, and the truth about its transactions."""
    simulation = Simulation(settings)
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "world"
        report("simulate")
        simulated = (simulation.simulate_day(number) for number in range(days))
        write_world(folder, simulated, DayTables(simulation.population), settings)
        report("read")
        dataset = read_dataset(folder / TRANSACTIONS_FILE, load_mapping(MAPPING), _refuse)
        truth = pq.read_table(folder / TRUTH_FILE)
    order = dataset.columns["row"] - 1
    return dataset, RowTruth(
        typology=np.array(truth["typology"].to_pylist())[order], campaign=truth["campaign"].to_numpy()[order]
    )


def by_campaign(
    truth: RowTruth, rows: NDArray[np.int64], *, before: NDArray[np.bool_], now: NDArray[np.bool_]
) -> list[CampaignResult]:
    """Count the tested frauds `rows`, and those found, by campaign in the order of their numbers."""
    results = []
    for campaign in np.unique(truth.campaign[rows]).tolist():
        of_campaign = truth.campaign[rows] == campaign
        results.append(
            CampaignResult(
                typology=str(truth.typology[rows[of_campaign][0]]),
                campaign=campaign,
                frauds=int(of_campaign.sum()),
                before=int(before[of_campaign].sum()),
                now=int(now[of_campaign].sum()),
            )
        )
    return results


def _is_above_threshold(margins: NDArray[np.float32], is_genuine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return margins > threshold_of(margins[is_genuine], FALSE_POSITIVE_RATE)


def _refuse(fault: Fault) -> None:
    raise AssertionError(f"the simulated world has a row that cannot be read: {fault}")
