"""Measure what merchant features gain: `python -m benchmarks.merchant_compromise --output FILE` (ten minutes)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.merchant_compromise.compromise_world import CompromiseWorld
from benchmarks.merchant_compromise.measure import markdown, measure_world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(11, 16)), help="at least two")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    chosen = parser.parse_args()
    results = []
    for seed in chosen.seeds:
        print(f"seed {seed}", file=sys.stderr, flush=True)
        results.append(measure_world(CompromiseWorld(seed=seed), lambda _: None))
    print(markdown(results))
    if chosen.output is not None:
        chosen.output.write_bytes(msgspec.json.encode(results) + b"\n")


if __name__ == "__main__":
    main()
