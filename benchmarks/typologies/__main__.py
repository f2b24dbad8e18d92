"""Measure recall by typology: `python -m benchmarks.typologies --output FILE` (about an hour and a half).

The file is written after each seed, and seeds that it already has are not measured again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.typologies.intervals import markdown
from benchmarks.typologies.recall import WorldResult, measure_world
from models.training import TrainingSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(21, 26)))
    parser.add_argument("--cards", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1, help="set OMP_WAIT_POLICY=passive with more than one")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the results")
    chosen = parser.parse_args()
    worlds: list[WorldResult] = []
    if chosen.output.exists():
        worlds = msgspec.json.decode(chosen.output.read_bytes(), type=list[WorldResult])
    measured = {world.seed for world in worlds}
    for seed in (seed for seed in chosen.seeds if seed not in measured):

        def report(step: str, seed: int = seed) -> None:
            print(f"seed {seed}: {step}", file=sys.stderr, flush=True)

        worlds.append(measure_world(seed, chosen.cards, TrainingSettings(threads=chosen.threads), report))
        chosen.output.write_bytes(msgspec.json.encode(worlds) + b"\n")
    print(markdown(worlds))


if __name__ == "__main__":
    main()
