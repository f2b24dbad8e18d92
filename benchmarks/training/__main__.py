"""Measure calibrations, searched settings and baselines: `python -m benchmarks.training --output FILE`.

The file is written after each seed, and seeds that it already has are not measured again. A seed takes about four
minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.training.measure import TrainedWorld, measure_world
from benchmarks.training.tables import markdown
from cardwatch.training_policy import TrainingPolicy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(511, 515)))
    parser.add_argument("--cards", type=int, default=2_000)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the results")
    chosen = parser.parse_args()
    worlds: list[TrainedWorld] = []
    if chosen.output.exists():
        worlds = msgspec.json.decode(chosen.output.read_bytes(), type=list[TrainedWorld])
    measured = {world.seed for world in worlds}
    for seed in (seed for seed in chosen.seeds if seed not in measured):

        def report(step: str, seed: int = seed) -> None:
            print(f"seed {seed}: {step}", file=sys.stderr, flush=True)

        worlds.append(measure_world(seed, chosen.cards, TrainingPolicy(trials=chosen.trials), report))
        chosen.output.write_bytes(msgspec.json.format(msgspec.json.encode(worlds)) + b"\n")
    print(markdown(worlds))


if __name__ == "__main__":
    main()
