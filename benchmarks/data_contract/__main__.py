"""Measure the data contract: `python -m benchmarks.data_contract --output FILE` (half an hour on one core).

Worlds of 2,000 cards, in which nothing, something harmless or a fault of a source happens. The file is written after
each world, and worlds that it already has are not measured again. `--markdown` prints the tables of the documentation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.data_contract.monitored_world import monitor_world
from benchmarks.data_contract.scenarios import AS_OF, CALM, FAULT, HARMLESS, ONSET, Scenario, scenarios
from cardwatch.simulation.settings import SimulationSettings
from infra.aws.markdown_tables import table
from models.wilson import wilson_interval

HELD_OUT_SEEDS: Final = range(6_000, 6_030)
"""Seeds that were not used while checks and thresholds were developed. The calm scenario takes all of them, harmless
changes and faults the first of them."""
WORLDS: Final = {CALM: 30, HARMLESS: 5, FAULT: 5}
CHECKED_DAYS: Final = {CALM: 110, HARMLESS: 70, FAULT: 12}
"""Days after `AS_OF`."""
_FIRST_DAY, _FIRST_DAYS = date(2025, 1, 6), 730
"""Worlds begin on any day of two years, so that all seasons are among the checked days."""


class CheckedWorld(Struct, frozen=True, kw_only=True):
    """The findings in one world. `checked` and `quarantined` count days.

    `delay` is the number of days from the onset of a fault to the first day with a finding on its column, None if there
    was none.
    """

    scenario: str
    kind: str
    seed: int
    checked: int
    quarantined: int
    quarantined_before: int
    delay: int | None
    sentences: list[str]


def measure_world(scenario: Scenario, seed: int, cards: int) -> CheckedWorld:
    """Simulate and check one world."""
    start = int(np.random.default_rng(seed).integers(0, _FIRST_DAYS))
    settings = SimulationSettings(
        seed=seed, cards=cards, first_day=_FIRST_DAY + timedelta(days=start), timeline=scenario.events
    )
    days = AS_OF + 1 + CHECKED_DAYS[scenario.kind]
    extra = {"change": scenario.change} if scenario.change else {}
    world = monitor_world(
        settings, as_of=AS_OF, days=days, no_labels_from=ONSET if scenario.no_labels else None, **extra
    )
    named = [
        number
        for number in world.quarantined
        if number >= ONSET and scenario.column in {finding.column for finding in world.findings[number]}
    ]
    first = [finding for number in world.quarantined[:1] for finding in world.findings[number]]
    return CheckedWorld(
        scenario=scenario.name,
        kind=scenario.kind,
        seed=seed,
        checked=len(world.findings),
        quarantined=len(world.quarantined),
        quarantined_before=sum(number < ONSET for number in world.quarantined),
        delay=named[0] - ONSET if named else None,
        sentences=[finding.sentence for finding in first[:3]],
    )


def markdown(worlds: Sequence[CheckedWorld]) -> str:
    """Return the tables of the documentation: quarantined days without a fault, and how soon faults are found."""
    calm_rows, fault_rows = [], []
    for scenario in scenarios():
        of_scenario = [world for world in worlds if world.scenario == scenario.name]
        if scenario.kind == FAULT:
            delays = ["not found" if world.delay is None else str(world.delay) for world in of_scenario]
            before = sum(world.quarantined_before for world in of_scenario)
            fault_rows.append((scenario.name, f"`{scenario.column}`", str(len(delays)), ", ".join(delays), str(before)))
        elif of_scenario:
            calm_rows.append((scenario.name, str(len(of_scenario)), *_quarantined(of_scenario)))
    without = [world for world in worlds if world.kind != FAULT]
    calm_rows.append(("all", str(len(without)), *_quarantined(without)))
    return "\n".join(
        [
            table(("what happens", "worlds", "checked days", "quarantined", "share, 95 % interval"), calm_rows),
            "",
            table(("fault", "column named", "worlds", "days until found", "quarantined before"), fault_rows),
        ]
    )


def _quarantined(worlds: Sequence[CheckedWorld]) -> tuple[str, str, str]:
    checked, quarantined = (sum(getattr(world, name) for world in worlds) for name in ("checked", "quarantined"))
    low, high = wilson_interval(quarantined, checked)
    return f"{checked:,}", str(quarantined), f"{low:.4f} to {high:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the results")
    parser.add_argument("--first-seed", type=int, default=HELD_OUT_SEEDS[0])
    parser.add_argument("--cards", type=int, default=2_000)
    parser.add_argument("--markdown", action="store_true", help="print the tables of what the file has, and stop")
    chosen = parser.parse_args()
    worlds: list[CheckedWorld] = []
    if chosen.output.exists():
        worlds = msgspec.json.decode(chosen.output.read_bytes(), type=list[CheckedWorld])
    measured = {(world.scenario, world.seed) for world in worlds}
    for scenario in [] if chosen.markdown else scenarios():
        for seed in range(chosen.first_seed, chosen.first_seed + WORLDS[scenario.kind]):
            if (scenario.name, seed) not in measured:
                worlds.append(measure_world(scenario, seed, chosen.cards))
                chosen.output.write_bytes(msgspec.json.encode(worlds) + b"\n")
                print(f"{scenario.name}, seed {seed}: {worlds[-1].quarantined} days", file=sys.stderr, flush=True)
    print(markdown(worlds))


if __name__ == "__main__":
    main()
